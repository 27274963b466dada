'use strict'

// Reads simple calls of fetch(), as most are, without a Request of the runtime's: a URL, perhaps a method, a few headers, a string or
// bytes.

const { Buffer } = require('node:buffer')

const { mostOf } = require('../exchange/response-size.js')
const { completed, DEFAULT_FIELDS } = require('./head.js')
const { addFields, isClient, makeRequest, timeoutOf } = require('./request.js')
const { targetOf } = require('./target.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const EDGES = /^[\t\r\n ]+|[\t\r\n ]+$/g
const REDIRECTS = new Set(['follow', 'error', 'manual'])

/**
 * Reads a simple call; null if it is not one.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 * @returns {FetchRequest | null}
 */
function simpleRequest(input, init) {
  if (typeof input !== 'string') {
    if (!(input instanceof URL)) return null
    input = input.href
  }
  const target = targetOf(input)
  if (target === null) return null
  if (init === null) return makeRequest(target, 'GET', DEFAULT_FIELDS, null, -1)
  if (init.isJudged) return null
  const {
    agent,
    body = null,
    client,
    headers,
    method = 'GET',
    redirect = 'follow',
    signal = null,
    timeout,
    maxResponseSize,
  } = init
  if (!METHODS.has(method) || !REDIRECTS.has(redirect)) return null
  if (body !== null && (method === 'GET' || method === 'HEAD')) return null
  if (signal !== null && !(signal instanceof AbortSignal)) return null
  const bytes = simpleBody(body)
  if (bytes === undefined) return null
  const given = headers === undefined ? NO_FIELDS : fieldsOf(headers)
  if (given === null) return null
  const type = typeof body === 'string' ? 'text/plain;charset=UTF-8' : ''
  const fields = given.length === 0 && type === '' ? DEFAULT_FIELDS : completed(given, type)
  const request = makeRequest(target, method, fields, bytes, bytes === null ? -1 : Buffer.byteLength(bytes))
  request.redirect = redirect
  request.signal = signal
  request.timeoutMs = timeoutOf(timeout)
  request.maxResponseSize = mostOf(maxResponseSize)
  request.agent = agent
  request.proxying = init.proxying
  request.isForClient = isClient(client, agent)
  return request
}

/** @type {string[]} */
const NO_FIELDS = []

/**
 * Bytes are copied: their owner may change them as soon as fetch() returns.
 * @param {unknown} body
 * @returns {string | Uint8Array | null | undefined} undefined: it is not simple
 */
function simpleBody(body) {
  if (body === null) return null
  if (typeof body === 'string') return body
  // What is empty may have been given away: not every runtime's Request takes that.
  if (/** @type {any} */ (body).byteLength === 0) return undefined
  if (body instanceof ArrayBuffer) return new Uint8Array(body.slice(0))
  // The standard takes no memory that threads share.
  if (!ArrayBuffer.isView(body) || !(body.buffer instanceof ArrayBuffer)) return undefined
  if (body instanceof Uint8Array) return Uint8Array.prototype.slice.call(body)
  return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice()
}

/**
 * Names and values in turn, or null if they are not simple.
 * @param {any} headers
 * @returns {string[] | null}
 */
function fieldsOf(headers) {
  /** @type {string[]} */
  const fields = []
  if (headers instanceof Headers) {
    addFields(fields, headers)
    for (let at = 1; at < fields.length; at += 2) if (!VALUE.test(fields[at])) return null
    return fields
  }
  if (Array.isArray(headers)) return fieldsOfPairs(headers)
  if (headers === null || typeof headers !== 'object' || Symbol.iterator in headers) return null
  if (Object.getOwnPropertySymbols(headers).length > 0) return null
  let respelled = false
  for (const name of Object.keys(headers)) {
    let value = headers[name]
    if (typeof value !== 'string') {
      if (typeof value !== 'number') return null
      value = String(value)
    }
    if (!TOKEN.test(name)) return null
    value = value.replace(EDGES, '')
    if (!VALUE.test(value)) return null
    const lower = name.toLowerCase()
    if (lower !== name) respelled = true
    fields.push(lower, value)
  }
  return respelled ? joined(fields) : fields
}

/**
 * The same of pairs: Deno's Headers join cookies by commas, which makes one of them.
 * @param {any[]} pairs
 * @returns {string[] | null}
 */
function fieldsOfPairs(pairs) {
  /** @type {string[]} */
  const fields = []
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || typeof pair[1] !== 'string')
      return null
    const name = pair[0].toLowerCase()
    const value = pair[1].replace(EDGES, '')
    // The one name whose values stay apart.
    if (!TOKEN.test(name) || !VALUE.test(value) || name === 'set-cookie') return null
    fields.push(name, value)
  }
  return joined(fields)
}

/**
 * Names that were spelled in two ways are one field with both values.
 * @param {string[]} fields
 */
function joined(fields) {
  /** @type {Map<string, string>} */
  const values = new Map()
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]
    const before = values.get(name)
    values.set(
      name,
      before === undefined ? fields[at + 1] : `${before}${name === 'cookie' ? ';' : ','} ${fields[at + 1]}`,
    )
  }
  return values.size === fields.length / 2 ? fields : [...values].flat()
}

module.exports = { simpleRequest }
