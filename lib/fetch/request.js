'use strict'

// From what fetch() is called with to what the engine is told.
//
// Most calls are simple: a URL, perhaps a method, a few headers, a string or bytes. Those are read here, without a Request.
// Everything else goes through the runtime's own Request, which checks it and throws the runtime's own errors.

const { Buffer } = require('node:buffer')

const { setImmediate } = require('../runtime/captured.js')
const { invalidValue, notANumber, outOfRange } = require('../common/errors.js')
const { mostOf } = require('../exchange/response-size.js')
const { fetchFailed } = require('./errors.js')
const { checkFields, completed, PLAIN_FIELDS } = require('./head.js')
const { refer } = require('./referrer.js')
const { blobBody, bytesOf, formBody, markedForm, streamOf, takeSource, wholeBody } = require('./source.js')
const { parsed, targetOf } = require('./target.js')
const { hasModes, isBun, isNode } = require('./platform.js')

/**
 * What is asked for.
 * @typedef {object} Order
 * @property {import('./target.js').Target} target
 * @property {string} method
 * @property {string[]} fields names in lower case and values in turn
 * @property {string | Uint8Array | ReadableStream<Uint8Array> | null} body
 * @property {number} length of the body, in bytes; -1: there is none, or nobody knows
 * @property {(() => ReadableStream<Uint8Array>) | null} renew makes the body anew if it is a stream; null: nobody can
 * @property {'follow' | 'error' | 'manual'} redirect
 * @property {number} redirects that were followed to get here
 * @property {AbortSignal | null} signal
 * @property {number} timeoutMs 0: none
 * @property {any} agent as the user gave it
 * @property {Record<string, any> | null} proxying what the user says of proxies; null: nothing
 * @property {boolean} isForClient whether reqwest's client is to carry it
 * @property {number} maxResponseSize most bytes of the response's body, decoded; Infinity: any number; 0: the default
 * @property {ReadonlySet<string> | null} confined names of fields that no redirect may take to another origin
 * @property {string} mode as the standard's
 * @property {boolean} isTainted whether a redirect has left the origin
 * @property {string} referrer the URL of what it comes from; '': nobody has said, or the server is not to know
 * @property {string} referrerPolicy how much of it the server is to know
 * @property {import('./channels.js').Trace | null} trace what tracers hear of it; null: nobody listens
 * @property {Place | null} place where it was made in place of the runtime's own fetch
 */

/**
 * The place of `globalThis.fetch`.
 * @typedef {object} Place
 * @property {(input: any, init?: any) => Promise<Response>} theirs the runtime's own fetch, or what wraps it
 * @property {boolean} isWrapped whether somebody has wrapped ours there
 */

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const EDGES = /^[\t\r\n ]+|[\t\r\n ]+$/g
/** What a timer takes. */
const LONGEST_TIMEOUT_MS = 0x7fff_ffff

const REDIRECTS = new Set(['follow', 'error', 'manual'])

/**
 * Reads a simple call; null if it is not one.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 * @returns {Order | null}
 */
function simpleOrder(input, init) {
  if (typeof input !== 'string') {
    if (!(input instanceof URL)) return null
    input = input.href
  }
  const target = targetOf(input)
  if (target === null) return null
  if (init === null) return orderOf(target, 'GET', PLAIN_FIELDS, null, -1)
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
  const fields = given.length === 0 && type === '' ? PLAIN_FIELDS : completed(given, type)
  const order = orderOf(target, method, fields, bytes, bytes === null ? -1 : Buffer.byteLength(bytes))
  order.redirect = redirect
  order.signal = signal
  order.timeoutMs = timeoutOf(timeout)
  order.maxResponseSize = mostOf(maxResponseSize)
  order.agent = agent
  order.proxying = init.proxying
  order.isForClient = isClient(client, agent)
  return order
}

/** @type {string[]} */
const NO_FIELDS = []

/**
 * @param {import('./target.js').Target} target
 * @param {string} method
 * @param {string[]} fields
 * @param {Order['body']} body
 * @param {number} length
 * @returns {Order}
 */
function orderOf(target, method, fields, body, length) {
  return {
    target,
    method,
    fields,
    body,
    length,
    renew: null,
    redirect: 'follow',
    redirects: 0,
    signal: null,
    timeoutMs: 0,
    agent: undefined,
    proxying: null,
    isForClient: false,
    maxResponseSize: 0,
    confined: null,
    mode: 'cors',
    isTainted: false,
    referrer: '',
    referrerPolicy: '',
    trace: null,
    place: null,
  }
}

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
 * @param {string[]} fields
 * @param {Headers} headers
 */
function addFields(fields, headers) {
  headers.forEach((value, name) => {
    fields.push(name, value)
  })
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

/** @param {unknown} timeout */
function timeoutOf(timeout) {
  if (timeout === undefined || timeout === null) return 0
  if (typeof timeout !== 'number') throw notANumber('timeout', timeout)
  if (!(timeout >= 0)) throw outOfRange('timeout', '>= 0', timeout)
  return Math.min(Math.ceil(timeout), LONGEST_TIMEOUT_MS)
}

/**
 * Whether the option says that reqwest's client is to carry a fetch. What is no text means nothing, as unknown members do.
 * @param {unknown} client
 * @param {any} agent
 */
function isClient(client, agent) {
  if (typeof client !== 'string') return false
  if (client !== 'reqwest') throw invalidValue('client', client, "must be 'reqwest'")
  if (agent !== undefined && agent !== null) throw invalidValue('client', client, "can't be combined with an agent")
  return true
}

/**
 * Whether this is for the runtime's own fetch: schemes other than HTTP, and options that only it has.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 */
function isForeign(input, init) {
  const spelled = typeof input === 'string' ? input : input instanceof URL ? input.href : input?.url
  if (typeof spelled === 'string' && /^\s*(?!https?:)[a-z][a-z0-9+.-]*:/i.test(spelled) && parsed(spelled) !== null) {
    return true
  }
  if (init?.isForeign) return true
  let integrity = init?.integrity
  if (integrity === undefined && input instanceof Request) integrity = input.integrity
  return integrity !== undefined && integrity !== ''
}

/**
 * Whether the runtime's own fetch takes a URL that ours refuses: on Bun and Deno, one with credentials.
 * @param {any} input
 */
function isOnlyTheirs(input) {
  if (isNode) return false
  const url = parsed(typeof input === 'string' ? input : (input?.href ?? input?.url))
  return url !== null && (url.username !== '' || url.password !== '')
}

/**
 * Reads any call by way of the runtime's Request.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 * @returns {Promise<Order>}
 */
async function anyOrder(input, init) {
  const timeoutMs = timeoutOf(init?.timeout)
  const most = mostOf(init?.maxResponseSize)
  const isForClient = isClient(init?.client, init?.agent)
  const standard = init === null ? {} : /** @type {any} */ (init.standard())
  if (isAsyncIterable(standard.body)) standard.body = streamOf(standard.body)
  const marked = standard.body instanceof FormData ? markedForm(standard.body) : null
  if (marked !== null) standard.body = marked.form
  // The runtime demands `duplex` of streams where the standard does.
  const request = new Request(input, standard)
  const { method } = request
  if ((method === 'GET' || method === 'HEAD') && (standard.body ?? null) !== null) {
    throw new TypeError('Request with GET/HEAD method cannot have body.')
  }
  const signal = signalOf(request, input, standard.signal)
  if (signal?.aborted) {
    await giveUp(request, standard.body, signal.reason)
    throw signal.reason
  }
  const target = targetOf(request.url)
  if (target === null) throw fetchFailed(new Error('unknown scheme'))
  /** @type {string[]} */
  const fields = []
  addFields(fields, request.headers)
  checkFields(fields)
  // Bun's Request leaves the one it was made from unused.
  const source = isBun && input instanceof Request && standard.body === undefined ? input : request
  if (source.bodyUsed)
    throw new TypeError('Cannot construct a Request with a Request object that has already been used.')
  const { body, length, renew } = await bodyOf(source, standard.body, marked)
  const mode = hasModes ? request.mode : 'cors'
  const all = completed(fields, '', request.cache, mode)
  const order = orderOf(target, method, all, body, length >= 0 ? length : announcedLength(fields))
  order.mode = mode
  refer(order, request)
  order.renew = renew
  order.redirect = /** @type {Order['redirect']} */ (request.redirect)
  order.signal = signal
  order.timeoutMs = timeoutMs
  order.maxResponseSize = most
  order.agent = init?.agent
  order.proxying = init === null ? null : init.proxying
  order.isForClient = isForClient
  return order
}

/**
 * Cancels the body of what is not sent, if that is a stream of its user's: some versions of Node don't survive it with forms.
 * @param {Request} request
 * @param {any} given its body, if it was not there already
 * @param {any} reason
 */
async function giveUp(request, given, reason) {
  if (request.body === null) return
  const source = given === undefined ? await takeSource(request).catch(() => null) : given
  if (!(source instanceof ReadableStream)) return
  source.cancel(reason).catch(() => {})
}

/**
 * @param {Request} request
 * @param {any} input what it was made of
 * @param {any} given what its user says
 * @returns {AbortSignal | null}
 */
function signalOf(request, input, given) {
  if (given === undefined) return input instanceof Request ? input.signal : null
  // One that is null parts the fetch from the Request's.
  if (given === null || given instanceof AbortSignal) return given
  // Some runtimes take what looks like one.
  return request.signal
}

/**
 * What a user says of the length of a stream.
 * @param {string[]} fields
 */
function announcedLength(fields) {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field === 'content-length')
  return at >= 0 && /^\d+$/.test(fields[at + 1]) ? Number(fields[at + 1]) : -1
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

/**
 * The body of a request: whole, or such that it can be read anew, if it is there before it is sent.
 * @param {Request} request
 * @param {any} given what it was made from; undefined: the request was there already
 * @param {import('./source.js').MarkedForm | null} marked what it was made from, if that is a form with large files
 * @returns {Promise<import('./source.js').Body>}
 */
async function bodyOf(request, given, marked) {
  const stream = /** @type {ReadableStream<Uint8Array> | null} */ (request.body)
  if (stream === null) return { body: null, length: -1, renew: null }
  if (given === undefined || given === null) return requestBody(request, stream)
  if (given instanceof ReadableStream) return { body: stream, length: -1, renew: null }
  if (marked !== null) return marked.body(Buffer.from(await request.arrayBuffer()))
  if (given instanceof Blob) return blobBody(given)
  return wholeBody(request)
}

/**
 * The body of a request that was there already.
 * @param {Request} request
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {Promise<import('./source.js').Body>}
 */
async function requestBody(request, stream) {
  const bytes = bytesOf(request)
  // Its stream alone has those that are gone.
  if (bytes?.byteLength === 0) return begunBody(stream)
  const source = bytes?.slice() ?? (await takeSource(request))
  if (source === null) return begunBody(stream)
  if (source instanceof Blob) return blobBody(source)
  if (source instanceof FormData) return formBody(source, request.headers.get('content-type') ?? '')
  if (source instanceof ReadableStream) return begunBody(source)
  return { body: source, length: Buffer.byteLength(source), renew: null }
}

/**
 * A body of which only the stream is there: one that ends by itself within a turn of the event loop was made from
 * something whole.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {Promise<import('./source.js').Body>}
 */
async function begunBody(stream) {
  const reader = stream.getReader()
  /** @type {Uint8Array[]} */
  const read = []
  const turn = new Promise((resolve) => setImmediate(resolve, null))
  let next = reader.read()
  for (;;) {
    const result = await Promise.race([next, turn]).catch((error) => {
      throw fetchFailed(error)
    })
    if (result === null) break
    if (result.done) {
      const bytes = Buffer.concat(read)
      return { body: bytes, length: bytes.length, renew: null }
    }
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
  return { body: rest, length: -1, renew: null }
}

module.exports = { anyOrder, isForeign, isOnlyTheirs, simpleOrder, timeoutOf }
