'use strict'

// What a fetch came to, and how its body is read, whichever class shows it.

const { Buffer } = require('node:buffer')

const { hasModes, immutableMessage, isDeno, isNode, responseType } = require('./platform.js')
const { runtimeHeaders, runtimeResponse } = require('./response-class.js')

/** @typedef {import('../bridge/response-heads.js').Head} Head */
/** @typedef {import('./body-handle.js').BodyHandle} BodyHandle */

const NULL_BODY = new Set([101, 103, 204, 205, 304])
const NOTHING = Buffer.alloc(0)

/** Header objects of heads that repeat. @type {WeakMap<Head, Headers>} */
const shared = new WeakMap()

/** @param {Head} head */
function makeHeaders(head) {
  const { lines } = head
  const headers = new (runtimeHeaders())()
  for (let at = 0; at < lines.length; at += 2) headers.append(lines[at], lines[at + 1])
  return headers
}

/** @param {any} headers */
function immutable(headers) {
  if (immutableMessage === null) return headers
  const message = immutableMessage
  for (const name of ['append', 'delete', 'set']) {
    Object.defineProperty(headers, name, {
      value() {
        throw new TypeError(message)
      },
    })
  }
  return headers
}

/**
 * As TextDecoder: without a byte order mark.
 * @param {Buffer} bytes
 */
function decode(bytes) {
  const marked = bytes.length > 2 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return /** @type {any} */ (bytes).utf8Slice(marked ? 3 : 0, bytes.length)
}

/** @param {Buffer} bytes */
function parse(bytes) {
  return JSON.parse(decode(bytes))
}

/** @param {Buffer} bytes */
function copied({ buffer, byteOffset, byteLength }) {
  return /** @type {ArrayBuffer} */ (buffer.slice(byteOffset, byteOffset + byteLength))
}

/** @param {ArrayBuffer} buffer */
function toBytes(buffer) {
  return new Uint8Array(buffer)
}

/**
 * A body as a stream that reads no more than is asked for.
 * @param {() => Promise<Uint8Array | null>} next the next piece, in memory of its own; null: the end
 * @param {() => void} cancel
 * @param {() => void} check throws what ends the body early
 * @param {(controller: ReadableByteStreamController) => void} begin
 */
function toStream(next, cancel, check, begin = () => {}) {
  return new ReadableStream(
    /** @type {any} */ ({
      type: 'bytes',
      start: begin,
      /** @param {ReadableByteStreamController} controller */
      async pull(controller) {
        check()
        const chunk = await next()
        if (chunk !== null) {
          controller.enqueue(/** @type {any} */ (chunk))
          return
        }
        controller.close()
        controller.byobRequest?.respond(0)
      },
      cancel,
    }),
    { highWaterMark: 0 },
  )
}

/** What a fetch came to, whichever class shows it. */
class Fetched {
  /** @type {Headers | null} */
  #headers = null

  /**
   * @param {import('./request.js').FetchRequest} request
   * @param {number} status
   * @param {Head} head
   * @param {Buffer | null} bytes a complete body
   * @param {BodyHandle | null} handle one that is still coming
   */
  constructor(request, status, head, bytes, handle) {
    this.status = status
    this.head = head
    this.bytes = bytes
    this.handle = handle
    this.request = request
    this.used = false
  }

  get isNull() {
    return isBodyless(this.request, this.status)
  }

  get url() {
    return this.request.target.url
  }

  get redirected() {
    return this.request.redirects > 0
  }

  /** @returns {string} */
  get type() {
    return hasModes && this.request.isTainted ? 'cors' : responseType
  }

  /** @returns {Headers} */
  get headers() {
    if (this.#headers !== null) return this.#headers
    /** @type {any} */
    let headers = shared.get(this.head)
    if (headers === undefined) {
      headers = immutable(makeHeaders(this.head))
      shared.set(this.head, headers)
    }
    this.#headers = headers
    return headers
  }

  /** The same, to be read again. */
  copy() {
    return new Fetched(this.request, this.status, this.head, this.bytes, this.handle)
  }

  /** A fetch that was aborted has no body, even if it had all come by then. */
  check() {
    const { signal } = this.request
    if (signal?.aborted) throw signal.reason
  }

  /** The body is read piece by piece, to be put together. */
  limit() {
    this.handle?.limit()
  }

  /**
   * Consumes the body.
   * @template T
   * @param {(handle: BodyHandle) => Promise<T>} read
   * @param {(bytes: Buffer) => T} convert what came with the head
   * @returns {Promise<T>}
   */
  #consume(read, convert) {
    this.used = !this.isNull
    const { signal } = this.request
    if (signal?.aborted && this.used) return Promise.reject(signal.reason)
    if (this.isNull) return Promise.resolve(convert(NOTHING))
    return this.handle === null ? Promise.resolve(convert(this.bytes ?? NOTHING)) : read(this.handle)
  }

  /** Consumes the body. */
  take() {
    return this.#consume(
      (handle) => handle.all(),
      (bytes) => bytes,
    )
  }

  /** Consumes the body, as memory of its own. */
  takeBuffer() {
    return this.#consume((handle) => handle.buffer(), copied)
  }

  /** @returns {any} */
  body() {
    if (this.isNull) return null
    const { handle } = this
    if (handle !== null)
      return toStream(
        () => handle.next(),
        () => handle.cancel(),
        () => this.check(),
        (controller) => handle.watch(controller),
      )
    const { buffer, byteOffset, byteLength } = this.bytes ?? NOTHING
    const bytes = new Uint8Array(buffer, byteOffset, byteLength)
    if (!isDeno) return bytes
    // Deno's own are streams of bytes, those that it makes of bytes are not.
    let rest = byteLength > 0 ? bytes.slice() : null
    const next = async () => {
      const chunk = rest
      rest = null
      return chunk
    }
    return toStream(
      next,
      () => {},
      () => this.check(),
    )
  }

  /** @param {any} headers */
  init(headers) {
    // The constructor refuses some numbers that a server may send; ours is shown by the getter.
    const status = this.status < 200 || this.status > 599 ? 200 : this.status
    return { status, statusText: printable(this.head.reason), headers }
  }
}

/** @param {Fetched} of */
function takeText(of) {
  return of.take().then(decode)
}

/** @param {Fetched} of */
function takeJson(of) {
  return of.take().then(parse)
}

/** @param {Fetched} of */
function takeBuffer(of) {
  return of.takeBuffer()
}

/** @param {Fetched} of whose body is still coming: its pieces need not go through a stream */
async function takeBlob(of) {
  const init = of.init({ 'content-type': of.headers.get('content-type') ?? '' })
  // Bun's Blob makes other types of some.
  if (!isNode) return of.takeBuffer().then((buffer) => new (runtimeResponse())(buffer, init).blob())
  const typed = new (runtimeResponse())('', init)
  const [buffer, { type }] = await Promise.all([of.takeBuffer(), typed.blob()])
  return new Blob([buffer], { type })
}

/** @param {Fetched} of */
function takeBytes(of) {
  return of.takeBuffer().then(toBytes)
}

/** @param {string | undefined} reason */
function printable(reason = '') {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(reason) ? reason : ''
}

/** A response whose body has been read, to fail as the runtime's do. */
function usedResponse() {
  const response = new (runtimeResponse())('')
  response.text()
  return response
}

/**
 * Whether a response has no body, whatever has come of one (fetch.spec.whatwg.org, "null body status").
 * @param {import('./request.js').FetchRequest} request
 * @param {number} status
 */
function isBodyless(request, status) {
  return NULL_BODY.has(status) || request.method === 'HEAD'
}

module.exports = {
  Fetched,
  immutable,
  isBodyless,
  makeHeaders,
  takeBlob,
  takeBuffer,
  takeBytes,
  takeJson,
  takeText,
  usedResponse,
}
