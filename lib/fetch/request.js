'use strict'

// From what fetch() is called with to what the engine is told.
//
// Most calls are simple: a URL, perhaps a method, a few headers, a string or bytes. Those are read here, without a Request.
// Everything else goes through the runtime's own Request, which checks it and throws the runtime's own errors.

const { Buffer } = require('node:buffer')

const {
  FETCH_BODY_STREAM,
  FETCH_BODY_WHOLE,
  FETCH_REDIRECT_ERROR,
  FETCH_REDIRECT_MANUAL,
} = require('../bridge/layout.js')
const { notANumber, outOfRange } = require('../errors.js')
const { fetchFailed } = require('./errors.js')
const { defaultIdentity, ofAgent } = require('./identity.js')
const { badPorts, defaultFields, foreignOptions, isBun } = require('./traits.js')

/**
 * What the engine is told of a fetch, and what its response shows.
 * @typedef {object} Order
 * @property {string} url without a fragment
 * @property {boolean} isHead
 * @property {number} flags
 * @property {number} identity
 * @property {number} limits
 * @property {number} timeoutMs
 * @property {string} text
 * @property {string | Uint8Array | ReadableStream<Uint8Array> | null} body
 * @property {AbortSignal | null} signal
 */

/**
 * A URL that can be fetched here.
 * @typedef {object} Target
 * @property {string} href
 * @property {string} url without its fragment
 * @property {string} plainText a GET of it without anything special
 */

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const EDGES = /^[\t\r\n ]+|[\t\r\n ]+$/g
const ACCEPTED_CODINGS = 'gzip, deflate, br, zstd'
/** Options of the standard that only a Request can judge. */
const JUDGED = [
  'cache',
  'credentials',
  'duplex',
  'integrity',
  'keepalive',
  'mode',
  'priority',
  'referrer',
  'referrerPolicy',
  'window',
]
const MOST_TARGETS = 512
const LONGEST_TIMEOUT_MS = 0xffff_ffff
/** A Blob of at most this many bytes is read before it is sent, so that it can be sent again. */
const SMALL_BLOB = 1024 * 1024

const DEFAULT_TEXT = defaultFields
  .concat([['accept-encoding', ACCEPTED_CODINGS]])
  .map(([name, value]) => `\0${name}\0${value}`)
  .join('')

/** URLs that were fetched before. @type {Map<string, Target>} */
const targets = new Map()

/**
 * @param {string} spelled
 * @returns {Target | null} null: not one for us to fetch
 */
function targetOf(spelled) {
  const known = targets.get(spelled)
  if (known !== undefined) return known
  const url = URL.canParse === undefined ? parsed(spelled) : URL.canParse(spelled) ? new URL(spelled) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  if (url.username !== '' || url.password !== '') return null
  const { href } = url
  const hash = href.indexOf('#')
  if (badPorts.has(url.port)) throw fetchFailed(new Error('bad port'))
  const target = { href, url: hash < 0 ? href : href.slice(0, hash), plainText: `GET\0${href}${DEFAULT_TEXT}` }
  if (targets.size >= MOST_TARGETS) targets.clear()
  targets.set(spelled, target)
  return target
}

/** @param {string} spelled */
function parsed(spelled) {
  try {
    return new URL(spelled)
  } catch {
    return null
  }
}

/**
 * Reads a simple call; null if it is not one.
 * @param {any} input
 * @param {any} init
 * @returns {Order | null}
 */
function simpleOrder(input, init) {
  if (typeof input !== 'string') {
    if (!(input instanceof URL)) return null
    input = input.href
  }
  const target = targetOf(input)
  if (target === null) return null
  if (init === undefined || init === null) {
    return orderOf(target, 'GET', target.plainText, 0, null, null, defaultIdentity(), 0, 0)
  }
  if (typeof init !== 'object') return null
  for (const name of JUDGED) if (init[name] !== undefined) return null
  const { body = null, headers, method = 'GET', redirect = 'follow', signal = null } = init
  if (!METHODS.has(method)) return null
  if (body !== null && (method === 'GET' || method === 'HEAD')) return null
  if (signal !== null && !(signal instanceof AbortSignal)) return null
  const flags = redirectFlags(redirect)
  if (flags < 0) return null
  const bytes = simpleBody(body)
  if (bytes === undefined) return null
  const given = headers === undefined ? [] : fieldsOf(headers)
  if (given === null) return null
  const type = typeof body === 'string' ? 'text/plain;charset=UTF-8' : ''
  const text =
    given.length === 0 && method === 'GET'
      ? target.plainText
      : textOf(method, target.href, given, type, announcedLength(method, bytes))
  const { identity, limits } = ofAgent(init.agent)
  const timeoutMs = timeoutOf(init.timeout)
  return orderOf(target, method, text, flags, bytes, signal, identity, limits, timeoutMs)
}

/**
 * @param {Target} target
 * @param {string} method
 * @param {string} text
 * @param {number} flags
 * @param {Order['body']} body
 * @param {AbortSignal | null} signal
 * @param {number} identity
 * @param {number} limits
 * @param {number} timeoutMs
 * @returns {Order}
 */
function orderOf(target, method, text, flags, body, signal, identity, limits, timeoutMs) {
  const isStream = body !== null && typeof body === 'object' && !(body instanceof Uint8Array)
  return {
    url: target.url,
    isHead: method === 'HEAD',
    flags: flags | (body === null ? 0 : isStream ? FETCH_BODY_STREAM : FETCH_BODY_WHOLE),
    identity,
    limits,
    timeoutMs,
    text,
    body,
    signal,
  }
}

/** @param {unknown} redirect */
function redirectFlags(redirect) {
  if (redirect === 'follow') return 0
  if (redirect === 'error') return FETCH_REDIRECT_ERROR
  return redirect === 'manual' ? FETCH_REDIRECT_MANUAL : -1
}

/**
 * Bytes are copied: the engine takes them at the end of this tick.
 * @param {unknown} body
 * @returns {string | Uint8Array | null | undefined} undefined: it is not simple
 */
function simpleBody(body) {
  if (body === null) return null
  if (typeof body === 'string') return body
  if (body instanceof Uint8Array) return body
  if (body instanceof ArrayBuffer) return new Uint8Array(body)
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
  return undefined
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
    headers.forEach((value, name) => {
      fields.push(name, value)
    })
    return fields
  }
  if (headers === null || typeof headers !== 'object' || Symbol.iterator in headers) return null
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
    // Spelled in two ways, they are one field with both values.
    const at = fields.indexOf(lower)
    if (at >= 0 && at % 2 === 0) fields[at + 1] += `, ${value}`
    else fields.push(lower, value)
  }
  return fields
}

/**
 * @param {string} method
 * @param {string} href
 * @param {string[]} fields
 * @param {string} type what the body is, if it says so itself
 * @param {number} length of the body; -1: there is none, or nobody knows
 */
function textOf(method, href, fields, type, length) {
  let text = `${method}\0${href}`
  let seen = '\0'
  for (let at = 0; at < fields.length; at += 2) {
    text += `\0${fields[at]}\0${fields[at + 1]}`
    seen += `${fields[at]}\0`
  }
  if (type !== '' && !seen.includes('\0content-type\0')) text += `\0content-type\0${type}`
  for (const [name, value] of defaultFields) {
    if (!seen.includes(`\0${name}\0`)) text += `\0${name}\0${value}`
  }
  if (!seen.includes('\0accept-encoding\0')) {
    // Part of something encoded can't be decoded.
    text += `\0accept-encoding\0${seen.includes('\0range\0') ? 'identity' : ACCEPTED_CODINGS}`
  }
  if (length === 0) text += '\0content-length\x000'
  return text
}

/**
 * @param {string} method
 * @param {Order['body']} body
 */
function announcedLength(method, body) {
  if (body === null) return method === 'POST' || method === 'PUT' ? 0 : -1
  return typeof body === 'string' ? body.length : body instanceof Uint8Array ? body.byteLength : -1
}

/** @param {unknown} timeout */
function timeoutOf(timeout) {
  if (timeout === undefined || timeout === null) return 0
  if (typeof timeout !== 'number') throw notANumber('timeout', timeout)
  if (!(timeout >= 0)) throw outOfRange('timeout', '>= 0', timeout)
  return Math.min(Math.ceil(timeout), LONGEST_TIMEOUT_MS)
}

/**
 * Whether this is for the runtime's own fetch: schemes other than HTTP, and options that only it has.
 * @param {any} input
 * @param {any} init
 */
function isForeign(input, init) {
  const spelled = typeof input === 'string' ? input : input instanceof URL ? input.href : input?.url
  if (typeof spelled === 'string' && /^\s*(?!https?:)[a-z][a-z0-9+.-]*:/i.test(spelled) && parsed(spelled) !== null) {
    return true
  }
  if (typeof init !== 'object' || init === null) return false
  if (typeof init.integrity === 'string' && init.integrity !== '') return true
  return foreignOptions.some((name) => init[name] !== undefined)
}

/**
 * Reads any call by way of the runtime's Request.
 * @param {any} input
 * @param {any} init
 * @returns {Promise<Order>}
 */
async function anyOrder(input, init) {
  const { agent, timeout, ...standard } = init ?? {}
  const { identity, limits } = ofAgent(agent)
  const timeoutMs = timeoutOf(timeout)
  if (isAsyncIterable(standard.body)) standard.body = streamOf(standard.body)
  // The runtime demands `duplex` of streams where the standard does.
  const request = new Request(input, standard)
  const target = targetOf(request.url)
  if (target === null) throw fetchFailed(new Error('unknown scheme'))
  const { method } = request
  if ((method === 'GET' || method === 'HEAD') && (standard.body ?? null) !== null) {
    throw new TypeError('Request with GET/HEAD method cannot have body.')
  }
  const fields = /** @type {string[]} */ (fieldsOf(request.headers))
  addCacheFields(fields, request)
  // Bun's Request leaves the one it was made from unused.
  const source = isBun && input instanceof Request && standard.body === undefined ? input : request
  if (source.bodyUsed)
    throw new TypeError('Cannot construct a Request with a Request object that has already been used.')
  const { body, length } = await bodyOf(source, standard.body)
  if (length >= 0) fields.push('content-length', String(length))
  const text = textOf(method, target.href, fields, '', announcedLength(method, body))
  const signal = standard.signal ?? (input instanceof Request ? input.signal : null)
  const flags = redirectFlags(request.redirect)
  return orderOf(target, method, text, flags, body, signal, identity, limits, timeoutMs)
}

/**
 * What the standard adds to a request that no cache may answer.
 * @param {string[]} fields
 * @param {Request} request
 */
function addCacheFields(fields, { cache }) {
  const add = (/** @type {string} */ name, /** @type {string} */ value) => {
    if (!fields.some((field, at) => at % 2 === 0 && field === name)) fields.push(name, value)
  }
  if (cache === 'no-cache') add('cache-control', 'max-age=0')
  if (cache !== 'no-store' && cache !== 'reload') return
  add('pragma', 'no-cache')
  add('cache-control', 'no-cache')
}

/** @param {any} body */
function isAsyncIterable(body) {
  return (
    typeof body === 'object' &&
    body !== null &&
    Symbol.asyncIterator in body &&
    !(body instanceof ReadableStream || body instanceof Blob || body instanceof FormData)
  )
}

/** @param {AsyncIterable<any>} iterable */
function streamOf(iterable) {
  const iterator = iterable[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(typeof value === 'string' ? Buffer.from(value) : value)
      },
      async cancel(reason) {
        await iterator.return?.(reason)
      },
    },
    { highWaterMark: 0 },
  )
}

/**
 * The body of a request: whole if its length is known, so that it can be sent again.
 * @param {Request} request
 * @param {any} given what it was made from; undefined: the request was there already
 * @returns {Promise<{ body: Order['body'], length: number }>} length: of a stream whose length is known, else -1
 */
async function bodyOf(request, given) {
  const whole = async () => ({ body: new Uint8Array(await request.arrayBuffer()), length: -1 })
  const stream = /** @type {ReadableStream<Uint8Array> | null} */ (request.body)
  if (stream === null) return { body: null, length: -1 }
  if (given === undefined || given === null) return begunBody(stream)
  if (given instanceof ReadableStream) return { body: stream, length: -1 }
  if (given instanceof Blob && given.size > SMALL_BLOB) return { body: stream, length: given.size }
  return whole()
}

/**
 * A body of which only the stream is there: one that ends by itself within a turn of the event loop was made from
 * something whole.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {Promise<{ body: Order['body'], length: number }>}
 */
async function begunBody(stream) {
  const reader = stream.getReader()
  /** @type {Uint8Array[]} */
  const read = []
  const turn = new Promise((resolve) => setImmediate(resolve, null))
  let next = reader.read()
  for (;;) {
    const result = await Promise.race([next, turn])
    if (result === null) break
    if (result.done) return { body: Buffer.concat(read), length: -1 }
    if (!(result.value instanceof Uint8Array)) throw fetchFailed(new TypeError('Received non-Uint8Array chunk'))
    read.push(result.value)
    next = reader.read()
  }
  const rest = new ReadableStream(
    {
      async pull(controller) {
        const chunk = read.shift()
        if (chunk !== undefined) return controller.enqueue(chunk)
        const { done, value } = await next
        if (done) return controller.close()
        next = reader.read()
        next.catch(() => {})
        controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return { body: rest, length: -1 }
}

module.exports = { anyOrder, isForeign, simpleOrder }
