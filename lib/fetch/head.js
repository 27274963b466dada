'use strict'

// What a request says before its body: to the engine as bytes for the wire, to the client of HTTP/2 as names and values.

const { fetchFailed } = require('./errors.js')
const { defaultFields, sendsControls } = require('./traits.js')

/** @typedef {import('./request.js').Order} Order */

const ACCEPTED_CODINGS = 'gzip, deflate, br, zstd'
const METHODS_WITH_BODY = new Set(['POST', 'PUT'])
/** The framing of a request is ours to say; `te` and the like make no sense without a connection of one's own. */
const FORBIDDEN = new Set(['expect', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** Fields of a request whose user has set none. */
const PLAIN_FIELDS = completed([], '')

/**
 * A user's fields with those that each request has.
 * @param {string[]} given names in lower case and values in turn
 * @param {string} type what the body is, if it says so itself
 * @returns {string[]}
 */
function completed(given, type) {
  /** @type {string[]} */
  const fields = []
  let seen = '\0'
  for (let at = 0; at < given.length; at += 2) {
    if (FORBIDDEN.has(given[at])) continue
    fields.push(given[at], given[at + 1])
    seen += `${given[at]}\0`
  }
  if (type !== '' && !seen.includes('\0content-type\0')) fields.push('content-type', type)
  for (const [name, value] of defaultFields) if (!seen.includes(`\0${name}\0`)) fields.push(name, value)
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
    if (SENDABLE.test(fields[at + 1])) continue
    const cause = new Error(`invalid ${fields[at]} header`)
    throw fetchFailed(Object.assign(cause, { name: 'InvalidArgumentError', code: 'UND_ERR_INVALID_ARG' }))
  }
}

/**
 * @param {Order} order
 * @param {string} name in lower case
 * @returns {string | undefined}
 */
function fieldOf({ fields }, name) {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1]
  return undefined
}

/**
 * The head for HTTP/1.1, the blank line included.
 * @param {Order} order
 * @param {boolean} keepAlive
 */
function wireHead(order, keepAlive) {
  const { body, fields, method, target } = order
  if (fields !== PLAIN_FIELDS || body !== null || method !== 'GET' || !keepAlive) return makeHead(order, keepAlive)
  if (target.plainHead === '') target.plainHead = makeHead(order, true)
  return target.plainHead
}

/**
 * @param {Order} order
 * @param {boolean} keepAlive
 */
function makeHead(order, keepAlive) {
  const { fields, method, target } = order
  let host = target.authority
  let connection = keepAlive ? 'keep-alive' : 'close'
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]
    if (name === 'host') host = fields[at + 1]
    else if (name === 'connection') connection = fields[at + 1]
    else if (name !== 'content-length') lines += `${name}: ${fields[at + 1]}\r\n`
  }
  const framed = framing(order)
  if (framed !== null) lines += `${framed[0]}: ${framed[1]}\r\n`
  return `${method} ${target.path} HTTP/1.1\r\nhost: ${host}\r\nconnection: ${connection}\r\n${lines}\r\n`
}

/**
 * The name and the value of the field that says how long the body is; null: there is no body.
 * @param {Order} order
 * @returns {[name: string, value: string] | null}
 */
function framing({ body, length, method }) {
  if (body === null) return METHODS_WITH_BODY.has(method) ? ['content-length', '0'] : null
  return length < 0 ? ['transfer-encoding', 'chunked'] : ['content-length', String(length)]
}

/**
 * What the runtime's own request is given.
 * @param {Order} order
 */
function requestHeaders(order) {
  /** @type {Record<string, string>} */
  const headers = Object.create(null)
  for (let at = 0; at < order.fields.length; at += 2) headers[order.fields[at]] = order.fields[at + 1]
  delete headers['content-length']
  const framed = framing(order)
  if (framed !== null) headers[framed[0]] = framed[1]
  return headers
}

/**
 * `METHOD\0url\0name\0value…`: of whole bodies the client says the length by itself.
 * @param {Order} order
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
  PLAIN_FIELDS,
  requestHeaders,
  wireHead,
}
