'use strict'

// Reads any call of fetch(), by way of the runtime's own Request, which checks it and throws the runtime's own errors.

const { Buffer } = require('node:buffer')

const { setImmediate } = require('../runtime/captured.js')
const { mostOf } = require('../exchange/response-size.js')
const { fetchFailed } = require('./errors.js')
const { checkFields, completed } = require('./head.js')
const { hasModes, isBun } = require('./platform.js')
const { refer } = require('./referrer.js')
const { addFields, isClient, makeRequest, timeoutOf } = require('./request.js')
const { blobBody, bytesOf, formBody, markedForm, streamOf, takeSource, wholeBody } = require('./source.js')
const { targetOf } = require('./target.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

/**
 * Reads any call by way of the runtime's Request.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 * @returns {Promise<FetchRequest>}
 */
async function anyRequest(input, init) {
  const timeoutMs = timeoutOf(init?.timeout)
  const most = mostOf(init?.maxResponseSize)
  const isForClient = isClient(init?.client, init?.agent)
  const members = init === null ? {} : /** @type {any} */ (init.standard())
  if (isAsyncIterable(members.body)) members.body = streamOf(members.body)
  const marked = members.body instanceof FormData ? markedForm(members.body) : null
  if (marked !== null) members.body = marked.form
  // The runtime demands `duplex` of streams where the standard does.
  const standard = new Request(input, members)
  const { method } = standard
  if ((method === 'GET' || method === 'HEAD') && (members.body ?? null) !== null) {
    throw new TypeError('Request with GET/HEAD method cannot have body.')
  }
  const signal = signalOf(standard, input, members.signal)
  if (signal?.aborted) {
    await giveUp(standard, members.body, signal.reason)
    throw signal.reason
  }
  const target = targetOf(standard.url)
  if (target === null) throw fetchFailed(new Error('unknown scheme'))
  /** @type {string[]} */
  const fields = []
  addFields(fields, standard.headers)
  checkFields(fields)
  // Bun's Request leaves the one it was made from unused.
  const source = isBun && input instanceof Request && members.body === undefined ? input : standard
  if (source.bodyUsed)
    throw new TypeError('Cannot construct a Request with a Request object that has already been used.')
  const { body, length, renew } = await bodyOf(source, members.body, marked)
  const mode = hasModes ? standard.mode : 'cors'
  const all = completed(fields, '', standard.cache, mode)
  const request = makeRequest(target, method, all, body, length >= 0 ? length : announcedLength(fields))
  request.mode = mode
  refer(request, standard)
  request.renew = renew
  request.redirect = /** @type {FetchRequest['redirect']} */ (standard.redirect)
  request.signal = signal
  request.timeoutMs = timeoutMs
  request.maxResponseSize = most
  request.agent = init?.agent
  request.proxying = init === null ? null : init.proxying
  request.isForClient = isForClient
  return request
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

module.exports = { anyRequest }
