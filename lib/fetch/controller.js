'use strict'

// One fetch: from what is asked for, over redirects, to the last byte that somebody reads. It settles the fetch's promise, heeds its
// signal, its timeout and its limits, and has whatever has come of the body until it is read.
//
// Each of its requests is carried by a handler, one after another: an exchange of the engine's (handler.js, client-handler.js) or a
// request of the runtime's (runtime-handler.js). Whoever reads the body holds a BodyHandle, and nothing here holds that: when nobody
// can read the body any more, the handle is collected, and the fetch is given up.

const { Buffer } = require('node:buffer')

const { queueMicrotask, setImmediate } = require('../runtime/captured.js')
const { Deadline } = require('../common/deadline.js')
const { BodyHandle, OWNED, PIECE, WHOLE } = require('./body-handle.js')
const { Trace, isHeard } = require('./channels.js')
const { fetchFailed, tooLarge } = require('./errors.js')
const { isRedirect, redirected } = require('./redirect.js')
const { isBodyless } = require('./fetched.js')
const { isOpaque, makeOpaque, makeResponse } = require('./response.js')
const { detour, mockReason, send, wayOf } = require('./route.js')
const { TOO_LARGE } = require('../exchange/response-size.js')
const { LEGACY_SERVER } = require('../tls/legacy.js')
const { letManyListen } = require('./platform.js')
const { Upload } = require('./upload.js')

/** Bytes of a redirect's body that are read so that its connection can be used again. */
const MOST_DISCARDED = 64 * 1024
/** How long it may take to come, in ms. */
const DISCARDED_MS = 500
/** Bytes of a body that is read whole, unless the option says otherwise: some kilobytes on the wire can stand for any number. */
const MOST_WHOLE = 1024 * 1024 * 1024
/** Of a body that the engine puts together, whatever its user allows: its length is told in 32 bits. */
const MOST_AT_ONCE = 0xffff_ffff

/** Of bodies that have a buffer made for them before they come: no server decides about more. */
const MOST_ROOM = 16 * 1024 * 1024
/** Shorter ones are copied for less. */
const LEAST_ROOM = 16 * 1024
/** Bytes of pieces that are put together for who reads piece by piece; longer ones stay what they are, and are not copied. */
const LONG_PIECE = 32 * 1024

function nothing() {}

class FetchController {
  /** What is asked for at the moment. @type {import('./request.js').FetchRequest} */
  request
  /** Of the stream that shows the body, which nothing here keeps. @type {WeakRef<ReadableByteStreamController> | undefined} */
  stream = undefined
  /** @type {(response: Response) => void} */
  #resolve
  /** @type {(error: unknown) => void} */
  #reject
  /** @type {ReturnType<typeof send> | null} */
  #handler = null
  #open = false
  /** The request as it was sent, with what tracers have added. @type {import('./request.js').FetchRequest} */
  #sent
  /** What comes after the rest of a redirect's body. @type {import('./request.js').FetchRequest | null} */
  #next = null
  #discarded = 0
  /** When a body that nobody wants has had its time. @type {Deadline | null} */
  #restDeadline = null
  /** Whether the body is of no interest to anybody. */
  #isDumped = false
  /** Body bytes that nobody has read, from `#taken` on. @type {Buffer[]} */
  #chunks = []
  #taken = 0
  /** Of the response whose body is still coming. @type {import('../bridge/response-heads.js').Head | null} */
  #head = null
  /** Bytes of the body that have come. */
  #received = 0
  /** Whether whoever reads the body puts it together. */
  #isWhole = false
  /** Whether the engine was told that somebody reads the body. */
  #isRead = false
  #ended = false
  #failed = false
  /** @type {unknown} */
  #error
  /** @type {import('./body-handle.js').Waiting | null} */
  #waiting = null
  /** @type {(() => void) | null} */
  #onAbort = null
  /** @type {Deadline | null} */
  #deadline = null
  /** Of a body that is a stream. @type {Upload | null} */
  #upload = null

  /**
   * @param {import('./request.js').FetchRequest} request
   * @param {(response: Response) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  constructor(request, resolve, reject) {
    this.request = request
    this.#sent = request
    this.#resolve = resolve
    this.#reject = reject
  }

  start() {
    const { signal, timeoutMs } = this.request
    if (signal !== null) {
      if (signal.aborted) return this.#abort(signal.reason)
      this.#onAbort = () => this.#abort(signal.reason)
      letManyListen(signal)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    if (timeoutMs > 0) this.#deadline = new Deadline(timeoutMs, () => this.#abort(timedOut()))
    this.#open = true
    this.#send()
  }

  /** Sends what is asked for at the moment. */
  #send() {
    try {
      const { agent, isGiven, proxy } = wayOf(this.request)
      if (proxy instanceof Promise) this.#awaitProxy(agent, isGiven, proxy)
      else this.#sendOver(agent, isGiven, proxy)
    } catch (error) {
      this.#failSoon(error)
    }
  }

  /**
   * @param {any} agent
   * @param {boolean} isGiven
   * @param {import('../common/proxies/agent-proxy.js').AgentProxy | undefined} proxy
   */
  #sendOver(agent, isGiven, proxy) {
    this.#sent = isHeard(this.request) ? this.#traced() : this.request
    this.#handler = send(this.#sent, this, agent, isGiven, proxy)
  }

  /**
   * @param {any} agent
   * @param {boolean} isGiven
   * @param {Promise<import('../common/proxies/agent-proxy.js').AgentProxy | undefined>} promise
   */
  async #awaitProxy(agent, isGiven, promise) {
    try {
      const proxy = await promise
      if (this.#open) this.#sendOver(agent, isGiven, proxy)
    } catch (error) {
      this.#failSoon(fetchFailed(error))
    }
  }

  /** @param {unknown} error */
  #failSoon(error) {
    // An abort in the same turn of the event loop comes first, as it does before whatever a network says.
    setImmediate(() => {
      if (this.#open) this.#fail(error)
    })
  }

  /** The request with what tracers add to it. What mocks hear of is a request of the runtime's, with channels of its own. */
  #traced() {
    if (mockReason(this.request) !== undefined) return this.request
    const trace = new Trace(this.request)
    this.#sent = { ...this.request, trace }
    return trace.applied(this.request)
  }

  /**
   * Nothing of the request has been sent: it falls back to the runtime's sockets.
   * @param {any} agent
   * @param {import('../agent/origin.js').Origin} origin
   */
  onUnmatched(agent, origin) {
    try {
      this.#handler = detour(agent, origin, LEGACY_SERVER, this.#sent, this)
      this.#upload?.resend()
    } catch (error) {
      this.#fail(error)
    }
  }

  onReady() {
    // The handler is not known yet if its connection was there at once.
    queueMicrotask(() => this.#startUpload())
  }

  #startUpload() {
    if (!this.#open || this.#handler === null) return
    this.#upload = new Upload(
      this.request,
      (bytes, isLast) => this.#handler?.send(bytes, isLast),
      (error) => {
        this.#handler?.abandon()
        this.#fail(fetchFailed(error))
      },
    )
    this.#upload.start()
  }

  onTaken() {
    this.#upload?.taken()
  }

  /**
   * @param {number} status
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   * @param {boolean} ended
   */
  onResponse(status, head, body, ended) {
    this.#sent.trace?.answer(status, head)
    if (isRedirect(this.request, status) && this.#redirect(status, head, body, ended)) return
    const resolve = this.#resolve
    // They lead to the response, which would never be collected.
    this.#resolve = nothing
    this.#reject = nothing
    if (isOpaque(this.request)) {
      if (ended) this.#close()
      else this.#dump(body)
      resolve(makeOpaque(this.request))
      return
    }
    if (!ended && isBodyless(this.request, status)) {
      this.#dump(body)
      resolve(makeResponse(this.request, status, head, null, null))
      return
    }
    if (ended && (body === null || body.length <= this.#most())) {
      this.#close()
      resolve(makeResponse(this.request, status, head, body, null))
      return
    }
    this.#head = head
    resolve(makeResponse(this.request, status, head, null, new BodyHandle(this)))
    if (body !== null) this.onData(body, ended)
  }

  /**
   * @param {number} status
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   * @param {boolean} ended
   * @returns {boolean} false: it is the fetch's response
   */
  #redirect(status, head, body, ended) {
    try {
      const next = redirected(this.request, status, head.lines)
      if (next === null) return false
      this.#endUpload(undefined)
      this.#next = next
      this.#discarded = 0
      if (ended) this.#follow()
      else {
        this.#restDeadline = new Deadline(DISCARDED_MS, () => this.#giveUpRest())
        this.#handler?.read(0, false, null)
        this.#discard(body?.length ?? 0)
      }
    } catch (error) {
      if (!ended) this.#handler?.abandon()
      this.#fail(error)
    }
    return true
  }

  /**
   * Bytes of a body that nobody wants have come; one that is long, or takes long, costs its connection.
   * @param {number} bytes
   */
  #discard(bytes) {
    this.#discarded += bytes
    if (this.#discarded <= MOST_DISCARDED) this.#handler?.acknowledge(bytes)
    else this.#giveUpRest()
  }

  #giveUpRest() {
    this.#handler?.abandon()
    if (this.#isDumped) this.#close()
    else this.#follow()
  }

  /**
   * A body where there is none: it is read so that its connection can be used again.
   * @param {Buffer | null} body
   */
  #dump(body) {
    this.#isDumped = true
    this.#discarded = 0
    this.#restDeadline = new Deadline(DISCARDED_MS, () => this.#giveUpRest()).unref()
    this.#handler?.read(0, false, null)
    this.#discard(body?.length ?? 0)
  }

  #follow() {
    this.#restDeadline?.end()
    this.#restDeadline = null
    this.#sent.trace?.complete()
    this.request = /** @type {import('./request.js').FetchRequest} */ (this.#next)
    this.#next = null
    this.#handler = null
    this.#send()
  }

  /**
   * @param {Buffer} chunk
   * @param {boolean} ended
   */
  onData(chunk, ended) {
    if (this.#next !== null || this.#isDumped) {
      if (!ended) this.#discard(chunk.length)
      else if (this.#isDumped) this.#close()
      else this.#follow()
      return
    }
    this.#received += chunk.length
    if (this.#received > this.#most()) return this.#overflow(ended)
    this.#chunks.push(chunk)
    const waiting = this.#waiting
    if (waiting !== null) {
      if (waiting.how !== PIECE) this.#handler?.acknowledge(chunk.length)
      else {
        this.#waiting = null
        waiting.resolve(this.#take())
      }
    }
    if (ended) this.onEnd()
  }

  /** Most bytes that the body may have. */
  #most() {
    const { maxResponseSize } = this.request
    if (this.#isWhole) return Math.min(maxResponseSize || MOST_WHOLE, MOST_AT_ONCE)
    return maxResponseSize || Number.POSITIVE_INFINITY
  }

  /** The body is put together by its reader. */
  limitWhole() {
    this.#isWhole = true
    if (this.#open && this.#received > this.#most()) this.#overflow(false)
  }

  /** @param {boolean} ended whether its connection is free already */
  #overflow(ended) {
    if (!ended) this.#handler?.abandon()
    const { maxResponseSize } = this.request
    this.#fail(tooLarge(this.#most(), maxResponseSize))
  }

  /** Nothing comes of what nobody reads: as with the runtime's, it keeps no process alive. */
  onStalled() {
    if (this.#waiting === null && this.#next === null) this.#handler?.keepAlive(false)
  }

  onEnd() {
    if (this.#next !== null) return this.#follow()
    this.#close()
    this.#ended = true
    const waiting = this.#waiting
    if (waiting === null) return
    this.#waiting = null
    waiting.resolve(waiting.how === PIECE ? null : this.#rest(waiting.how))
  }

  /** @param {unknown} error */
  onFailed(error) {
    // What is left of a redirect does not matter.
    if (this.#next !== null) this.#follow()
    else if (/** @type {any} */ (error)?.cause?.code === TOO_LARGE) this.#overflow(true)
    else this.#fail(error)
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#sent.trace?.fail(error)
    this.#endUpload(error)
    this.#close()
    this.#failed = true
    this.#error = error
    this.#forget()
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.reject(error)
    endStream(this.stream?.deref(), error)
    // Of no effect once there is a response.
    this.#reject(error)
  }

  /** @param {unknown} reason */
  #abort(reason) {
    if (this.#open) {
      if (isTimeout(reason) && this.#handler !== null && 'pass' in this.#handler) this.#handler.pass?.noteSilence()
      this.#handler?.abandon()
    }
    this.#fail(reason)
  }

  /** Nobody wants the rest of the body. */
  cancel() {
    if (!this.#open) return
    this.#sent.trace?.fail(undefined)
    this.#handler?.abandon()
    this.#close()
    this.#forget()
    this.#ended = true
  }

  /** Nothing of what has come is unread. */
  #forget() {
    this.#chunks = []
    this.#taken = 0
  }

  /** There is nothing more to come. */
  #close() {
    const { signal } = this.request
    if (this.#onAbort !== null && signal !== null) {
      signal.removeEventListener('abort', this.#onAbort)
      this.#onAbort = null
    }
    this.#deadline?.end()
    this.#deadline = null
    this.#restDeadline?.end()
    this.#restDeadline = null
    if (!this.#open) return
    this.#open = false
    this.#sent.trace?.complete()
    this.#endUpload(undefined)
  }

  /**
   * A body that is a stream is read no further, whether its reading has begun or not.
   * @param {unknown} reason what its source is told
   */
  #endUpload(reason) {
    const upload = this.#upload
    this.#upload = null
    if (upload !== null) upload.end(reason)
    else if (isUnread(this.request.body)) this.request.body.cancel(reason).catch(nothing)
  }

  /**
   * @param {BodyHandle} handle
   * @param {number} how PIECE, WHOLE or OWNED
   * @returns {Promise<Buffer | null>} but for WHOLE in memory of its own
   */
  read(handle, how) {
    const isPiece = how === PIECE
    if (this.#failed) return Promise.reject(this.#error)
    if (this.#ended && !isPiece) return Promise.resolve(this.#rest(how))
    if (isPiece && this.#chunks.length > 0) return Promise.resolve(this.#take())
    if (this.#ended) return Promise.resolve(null)
    if (!isPiece) this.#isWhole = true
    for (let at = this.#taken; at < this.#chunks.length; at++) this.#handler?.acknowledge(this.#chunks[at].length)
    if (!this.#isRead) {
      const room = how === OWNED ? this.#makeRoom() : null
      this.#handler?.read(isPiece ? 0 : this.#most(), how !== WHOLE, room)
    }
    this.#isRead = true
    this.#handler?.keepAlive(true)
    return new Promise((resolve, reject) => {
      this.#waiting = { handle, how, resolve, reject }
    })
  }

  /** The next piece of what has come: short ones go together, however many they are. */
  #take() {
    const bytes = this.#nextPiece()
    if (this.#open) {
      this.#handler?.keepAlive(true)
      this.#handler?.acknowledge(bytes.length)
    }
    return bytes
  }

  #nextPiece() {
    const chunks = this.#chunks
    let end = this.#taken
    let length = 0
    do length += chunks[end++].length
    while (end < chunks.length && length + chunks[end].length <= LONG_PIECE)
    const first = chunks[this.#taken]
    const piece = end === this.#taken + 1 && this.#isOwn(first) ? first : joined(chunks.slice(this.#taken, end))
    this.#taken = end
    if (end === chunks.length) this.#forget()
    return piece
  }

  /** @param {number} how PIECE, WHOLE or OWNED */
  #rest(how) {
    const chunks = this.#taken === 0 ? this.#chunks : this.#chunks.slice(this.#taken)
    this.#forget()
    return chunks.length === 1 && (how === WHOLE || this.#isOwn(chunks[0])) ? chunks[0] : joined(chunks)
  }

  /**
   * Whether a chunk has memory of the runtime's own, and nothing else is in it: the engine's can't be transferred to other threads.
   * @param {Buffer} chunk
   */
  #isOwn(chunk) {
    return this.#handler?.ownsChunks === true && chunk.byteLength === chunk.buffer.byteLength
  }

  /** What the body is read into, if its length is known. */
  #makeRoom() {
    const length = this.#head === null ? 0 : lengthOf(this.#head.lines)
    const fits = length >= LEAST_ROOM && length <= Math.min(this.#most(), MOST_ROOM)
    return fits ? Buffer.allocUnsafeSlow(length) : null
  }
}

/**
 * @param {import('./request.js').FetchRequest['body']} body
 * @returns {body is ReadableStream<Uint8Array>}
 */
function isUnread(body) {
  return body !== null && typeof body === 'object' && 'cancel' in body && !body.locked
}

/**
 * @param {ReadableByteStreamController | undefined} controller
 * @param {unknown} error
 */
function endStream(controller, error) {
  try {
    controller?.error(error)
  } catch {
    // It has ended already.
  }
}

/**
 * @param {Buffer[]} chunks
 * @returns {Buffer} one with memory of its own
 */
function joined(chunks) {
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const bytes = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/**
 * How long a body is, as its head says.
 * @param {string[]} lines
 * @returns {number} NaN: it doesn't
 */
function lengthOf(lines) {
  let length = Number.NaN
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at].toLowerCase()
    if (name === 'content-encoding' || name === 'transfer-encoding') return Number.NaN
    if (name === 'content-length') length = Number(lines[at + 1])
  }
  return length
}

/** @param {unknown} reason of an abort */
function isTimeout(reason) {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

function timedOut() {
  return new DOMException('The operation was aborted due to timeout', 'TimeoutError')
}

module.exports = { FetchController }
