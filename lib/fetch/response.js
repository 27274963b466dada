'use strict'

// What a fetch resolves with: an instance of the runtime's own Response.
//
// Node's constructor costs more than all the rest of a small fetch, so there it is called only when something needs what
// it makes (`body`, `formData()`, …); until then the response answers by itself. Bun and Deno have functions outside
// JavaScript that take responses (their servers), and cheap constructors: there it is constructed at once.

const { Buffer } = require('node:buffer')
const { inspect } = require('node:util')

const { tooLarge } = require('./errors.js')
const { hasModes, immutableMessage, isDeno, isNode, responseType } = require('./platform.js')

/** @typedef {import('../bridge/response-heads.js').Head} Head */
/** @typedef {import('./exchange.js').BodyHandle} BodyHandle */

const NULL_BODY = new Set([101, 103, 204, 205, 304])
const NOTHING = Buffer.alloc(0)
const hasBytes = 'bytes' in Response.prototype

/** Header objects of heads that repeat. @type {WeakMap<Head, Headers>} */
const shared = new WeakMap()

/** @param {Head} head */
function makeHeaders(head) {
  const { lines } = head
  const headers = new Headers()
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
   * @param {import('./request.js').Order} order
   * @param {number} status
   * @param {Head} head
   * @param {Buffer | null} bytes a complete body
   * @param {BodyHandle | null} handle one that is still coming
   */
  constructor(order, status, head, bytes, handle) {
    this.status = status
    this.head = head
    this.bytes = bytes
    this.handle = handle
    this.order = order
    this.used = false
  }

  get isNull() {
    return isBodyless(this.order, this.status)
  }

  get url() {
    return this.order.target.url
  }

  get redirected() {
    return this.order.redirects > 0
  }

  /** @returns {string} */
  get type() {
    return hasModes && this.order.isTainted ? 'cors' : responseType
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
    return new Fetched(this.order, this.status, this.head, this.bytes, this.handle)
  }

  /** A fetch that was aborted has no body, even if it had all come by then. */
  check() {
    const { signal } = this.order
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
    const { signal } = this.order
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
  if (!isNode) return of.takeBuffer().then((buffer) => new Response(buffer, init).blob())
  const typed = new Response('', init)
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
  const response = new Response('')
  response.text()
  return response
}

/**
 * @param {Fetched} of
 * @param {Response | null} real
 */
function lazy(of, real) {
  return new LazyResponse(of, real)
}

class LazyResponse {
  /** @type {Fetched} */
  #of
  /** The runtime's own, once something needs it: the body is its from then on. @type {Response | null} */
  #real

  /**
   * @param {Fetched} of
   * @param {Response | null} real
   */
  constructor(of, real) {
    this.#of = of
    this.#real = real
  }

  #made() {
    if (this.#real !== null) return this.#real
    const of = this.#of
    const body = of.body()
    this.#real = new Response(body, of.init({ 'content-type': of.headers.get('content-type') ?? '' }))
    return this.#real
  }

  /** @template T @param {(of: Fetched) => Promise<T>} take @param {(response: any) => Promise<T>} read @returns {Promise<T>} */
  #read(take, read) {
    const of = this.#of
    if (this.#real !== null) {
      const { signal } = of.order
      // What had come by then is not to be read any more.
      if (signal?.aborted && !this.#real.bodyUsed && !of.isNull) return Promise.reject(signal.reason)
      of.limit()
      return read(this.#real)
    }
    return of.used ? read(usedResponse()) : take(of)
  }

  get status() {
    return this.#of.status
  }

  get ok() {
    return this.#of.status >= 200 && this.#of.status <= 299
  }

  get statusText() {
    return this.#of.head.reason ?? ''
  }

  get headers() {
    return this.#of.headers
  }

  get url() {
    return this.#of.url
  }

  get redirected() {
    return this.#of.redirected
  }

  get type() {
    return /** @type {any} */ (this.#of.type)
  }

  get body() {
    if (this.#of.isNull) return null
    if (this.#of.used) {
      // Read without a stream: what is shown is one that was read to its end.
      if (this.#real === null) this.#real = usedResponse()
    }
    return this.#made().body
  }

  get bodyUsed() {
    return this.#real === null ? this.#of.used : this.#real.bodyUsed
  }

  text() {
    return this.#read(takeText, (response) => response.text())
  }

  json() {
    return this.#read(takeJson, (response) => response.json())
  }

  arrayBuffer() {
    return this.#read(takeBuffer, (response) => response.arrayBuffer())
  }

  bytes() {
    if (hasBytes) return this.#read(takeBytes, (response) => response.bytes())
    return this.arrayBuffer().then((buffer) => new Uint8Array(buffer))
  }

  blob() {
    const of = this.#of
    if (of.used) return usedResponse().blob()
    if (of.handle !== null && this.#real === null) return takeBlob(of)
    of.limit()
    return this.#made().blob()
  }

  formData() {
    if (this.#of.used) return usedResponse().formData()
    this.#of.limit()
    return this.#made().formData()
  }

  clone() {
    const of = this.#of
    if (of.used) return usedResponse().clone()
    if (this.#real === null && of.handle === null) return lazy(of.copy(), null)
    return lazy(of, this.#made().clone())
  }
}

/** The runtime's own, constructed at once. */
class EagerResponse extends Response {
  /** @type {Fetched} */
  #of
  #touched = false

  /**
   * @param {Fetched} of
   * @param {any} body
   */
  constructor(of, body) {
    super(body, of.init(makeHeaders(of.head)))
    this.#of = of
    if (immutableMessage !== null) immutable(super.headers)
  }

  get status() {
    return this.#of.status
  }

  get ok() {
    return this.#of.status >= 200 && this.#of.status <= 299
  }

  get url() {
    return this.#of.url
  }

  get redirected() {
    return this.#of.redirected
  }

  get type() {
    return /** @type {any} */ (this.#of.type)
  }

  get body() {
    this.#touched = true
    return super.body
  }

  get bodyUsed() {
    return this.#of.used || super.bodyUsed
  }

  /**
   * @template T
   * @param {(of: Fetched) => Promise<T>} take
   * @param {() => Promise<T>} read
   * @returns {Promise<T>}
   */
  #read(take, read) {
    const of = this.#of
    if (of.used) return /** @type {any} */ (usedResponse().text())
    if (of.order.signal?.aborted && !super.bodyUsed && !of.isNull) return Promise.reject(of.order.signal.reason)
    // A body that is still coming needs no stream of the runtime's to be read at once.
    if ((of.handle !== null || isDeno) && !this.#touched && !super.bodyUsed) return take(of)
    of.limit()
    return read()
  }

  text() {
    return this.#read(takeText, () => super.text())
  }

  json() {
    return this.#read(takeJson, () => super.json())
  }

  arrayBuffer() {
    return this.#read(takeBuffer, () => super.arrayBuffer())
  }

  bytes() {
    return this.#read(takeBytes, () => /** @type {any} */ (super.bytes()))
  }

  blob() {
    const of = this.#of
    if (of.used) return usedResponse().blob()
    if (of.handle !== null && !this.#touched && !super.bodyUsed) return takeBlob(of)
    of.limit()
    this.#touched = true
    return super.blob()
  }

  formData() {
    if (this.#of.used) return usedResponse().formData()
    this.#of.limit()
    this.#touched = true
    return super.formData()
  }

  clone() {
    if (this.#of.used) return usedResponse().clone()
    this.#touched = true
    const copy = super.clone()
    Object.setPrototypeOf(copy, Response.prototype)
    return /** @type {any} */ (shownAs(copy, this.#of))
  }
}

/**
 * A response of the runtime's that shows where it came from.
 * @param {Response} response
 * @param {Fetched} of
 */
function shownAs(response, of) {
  const clone = response.clone.bind(response)
  return Object.defineProperties(response, {
    status: { value: of.status },
    url: { value: of.url },
    redirected: { value: of.redirected },
    type: { value: of.type },
    clone: { value: () => shownAs(clone(), of) },
  })
}

/**
 * A response of the runtime's own fetch, of which nobody takes more than so many bytes.
 * @param {Response} response
 * @param {number} most
 * @returns {Response}
 */
function limited(response, most) {
  const { body, redirected, status, type, url } = response
  if (body === null) return response
  let received = 0
  const counter = new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength
      if (received > most) controller.error(tooLarge(most, most))
      else controller.enqueue(chunk)
    },
  })
  const copy = new Response(body.pipeThrough(counter), response)
  return shownAs(copy, /** @type {any} */ ({ status, url, redirected, type }))
}

/**
 * What console.log shows where the runtime's own has nothing to say.
 * @this {Response}
 * @param {number} _depth
 * @param {import('node:util').InspectOptions} options
 */
function inspectResponse(_depth, options) {
  const { status, statusText, headers, bodyUsed, ok, redirected, type, url } = this
  const shown = { status, statusText, headers: [...headers], bodyUsed, ok, redirected, type, url }
  return `Response ${inspect(shown, options)}`
}

Object.setPrototypeOf(LazyResponse.prototype, Response.prototype)
if (!(inspect.custom in Response.prototype)) {
  Object.defineProperty(LazyResponse.prototype, inspect.custom, { value: inspectResponse })
}
Reflect.deleteProperty(LazyResponse.prototype, 'constructor')
if (!hasBytes) Reflect.deleteProperty(LazyResponse.prototype, 'bytes')
Reflect.deleteProperty(EagerResponse.prototype, 'constructor')

/**
 * @param {import('./request.js').Order} order
 * @param {number} status
 * @param {Head} head
 * @param {Buffer | null} bytes
 * @param {BodyHandle | null} handle
 * @returns {Response}
 */
function makeResponse(order, status, head, bytes, handle) {
  const of = new Fetched(order, status, head, bytes, handle)
  return /** @type {any} */ (isNode ? lazy(of, null) : new EagerResponse(of, of.body()))
}

/**
 * Whether nobody may see the response: in mode `no-cors`, that of another origin (fetch.spec.whatwg.org, "opaque filtered
 * response").
 * @param {import('./request.js').Order} order
 */
function isOpaque(order) {
  return order.isTainted && order.mode === 'no-cors'
}

/** @type {Head} */
const NO_HEAD = /** @type {any} */ ({ lines: [], reason: '' })

/** What is shown in place of such a response. */
class Opaque extends Fetched {
  /** @param {import('./request.js').Order} order */
  constructor(order) {
    super(order, 0, NO_HEAD, null, null)
  }

  get isNull() {
    return true
  }

  get url() {
    return ''
  }

  get redirected() {
    return false
  }

  get type() {
    return 'opaque'
  }

  copy() {
    return new Opaque(this.order)
  }
}

/**
 * @param {import('./request.js').Order} order
 * @returns {Response}
 */
function makeOpaque(order) {
  return /** @type {any} */ (lazy(new Opaque(order), null))
}

/**
 * Whether a response has no body, whatever has come of one (fetch.spec.whatwg.org, "null body status").
 * @param {import('./request.js').Order} order
 * @param {number} status
 */
function isBodyless(order, status) {
  return NULL_BODY.has(status) || order.method === 'HEAD'
}

module.exports = { isBodyless, isOpaque, limited, makeOpaque, makeResponse }
