'use strict'

// What a request says before its body: to the engine as bytes for the wire, to the client of HTTP/2 as names and values.

const { fetchFailed } = require('./errors.js')
const { defaultFields, hasModes, keepsHost, sendsControls, shunsCaches } = require('./platform.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

const ACCEPTED_CODINGS = 'gzip, deflate, br, zstd'
/** They say that they have no body (RFC 9110, section 8.6), as undici's do. */
const METHODS_WITH_BODY = new Set(['PATCH', 'POST', 'PROPFIND', 'PROPPATCH', 'PUT', 'QUERY'])
/** The framing of a request is ours to say; `te` and the like make no sense without a connection of one's own. */
const FORBIDDEN = new Set(['expect', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** Those by which a user says that he has a cache of his own. */
const CONDITIONS = new Set(['if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since'])

/** Fields of a request whose user has set none. */
const DEFAULT_FIELDS = completed([], '')

/** @param {string} name whether it is for the runtime to say, not for a user */
function isOurs(name) {
  return FORBIDDEN.has(name) || (name === 'host' && !keepsHost) || (name === 'sec-fetch-mode' && hasModes)
}

/**
 * A user's fields with those that each request has.
 * @param {string[]} given names in lower case and values in turn
 * @param {string} type what the body is, if it says so itself
 * @param {string} [cache] a Request's `cache`
 * @param {string} [mode] a Request's `mode`
 * @returns {string[]}
 */
function completed(given, type, cache = 'default', mode = 'cors') {
  /** @type {string[]} */
  const fields = []
  let seen = '\0'
  for (let at = 0; at < given.length; at += 2) {
    const name = given[at]
    if (isOurs(name)) continue
    if (cache === 'default' && shunsCaches && CONDITIONS.has(name)) cache = 'no-store'
    fields.push(name, given[at + 1])
    seen += `${name}\0`
  }
  const add = (/** @type {string} */ name, /** @type {string} */ value) => {
    if (!seen.includes(`\0${name}\0`)) fields.push(name, value)
  }
  if (type !== '') add('content-type', type)
  for (const [name, value] of defaultFields) add(name, name === 'sec-fetch-mode' ? mode : value)
  if (cache === 'no-cache') add('cache-control', 'max-age=0')
  // No cache on the way may answer it.
  if (cache === 'no-store' || cache === 'reload') {
    add('pragma', 'no-cache')
    add('cache-control', 'no-cache')
  }
  if (!seen.includes('\0accept-encoding\0')) {
    // Part of something encoded can't be decoded.
    fields.push('accept-encoding', seen.includes('\0range\0') ? 'identity' : ACCEPTED_CODINGS)
  }
  return fields
}

/** What a value may have on the wire (RFC 9110, section 5.5); the runtime's Headers takes more. */
const SENDABLE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Refuses what must not go out, as the runtime's own fetch does.
 * @param {string[]} fields
 */
function checkFields(fields) {
  if (sendsControls) return
  for (let at = 0; at < fields.length; at += 2) {
    if (SENDABLE.test(fields[at + 1]) || isOurs(fields[at])) continue
    const cause = new Error(`invalid ${fields[at]} header`)
    throw fetchFailed(Object.assign(cause, { name: 'InvalidArgumentError', code: 'UND_ERR_INVALID_ARG' }))
  }
}

/**
 * @param {FetchRequest} request
 * @param {string} name in lower case
 * @returns {string | undefined}
 */
function fieldOf({ fields }, name) {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1]
  return undefined
}

/**
 * The head for HTTP/1.1, the blank line included.
 * @param {FetchRequest} request
 * @param {boolean} keepAlive
 */
function wireHead(request, keepAlive) {
  const { body, fields, method, target } = request
  if (fields !== DEFAULT_FIELDS || body !== null || method !== 'GET' || !keepAlive) return makeHead(request, keepAlive)
  if (target.bareHead === '') target.bareHead = makeHead(request, true)
  return target.bareHead
}

/**
 * @param {FetchRequest} request
 * @param {boolean} keepAlive
 */
function makeHead(request, keepAlive) {
  const { fields, method, target } = request
  let host = target.authority
  let connection = keepAlive ? 'keep-alive' : 'close'
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]
    if (name === 'host') host = fields[at + 1]
    else if (name === 'connection') connection = fields[at + 1]
    else if (name !== 'content-length') lines += `${name}: ${fields[at + 1]}\r\n`
  }
  const framed = framing(request)
  if (framed !== null) lines += `${framed[0]}: ${framed[1]}\r\n`
  return `${method} ${target.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: ${connection}\r\n${lines}\r\n`
}

/**
 * The name and the value of the field that says how long the body is; null: there is no body.
 * @param {FetchRequest} request
 * @returns {[name: string, value: string] | null}
 */
function framing({ body, length, method }) {
  if (body === null) return METHODS_WITH_BODY.has(method) ? ['content-length', '0'] : null
  return length < 0 ? ['transfer-encoding', 'chunked'] : ['content-length', String(length)]
}

/**
 * What the runtime's own request is given.
 * @param {FetchRequest} request
 */
function requestHeaders(request) {
  /** @type {Record<string, string>} */
  const headers = Object.create(null)
  for (let at = 0; at < request.fields.length; at += 2) headers[request.fields[at]] = request.fields[at + 1]
  delete headers['content-length']
  const framed = framing(request)
  if (framed !== null) headers[framed[0]] = framed[1]
  // The runtime's request refuses to announce trailers where there can be none.
  if (headers['transfer-encoding'] === undefined) delete headers.trailer
  return headers
}

/**
 * `METHOD\0url\0name\0value…`: of whole bodies the client says the length by itself.
 * @param {FetchRequest} request
 */
function clientHead({ body, fields, length, method, target }) {
  let text = `${method}\0${target.href}`
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] !== 'content-length') text += `\0${fields[at]}\0${fields[at + 1]}`
  }
  if (body === null ? METHODS_WITH_BODY.has(method) : length >= 0) text += `\0content-length\0${Math.max(0, length)}`
  return text
}

module.exports = {
  FORBIDDEN,
  SENDABLE,
  checkFields,
  clientHead,
  completed,
  fieldOf,
  DEFAULT_FIELDS,
  requestHeaders,
  wireHead,
}
