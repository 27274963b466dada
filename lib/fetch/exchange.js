'use strict'

// One fetch over the engine: from its order to its last byte.
//
// The engine's records come in here (the port knows it by its id). Whoever reads the body holds a BodyHandle, and nothing
// here holds that: when nobody can read the body any more, the handle is collected, and the fetch is given up.

const { Buffer } = require('node:buffer')

const { MESSAGE_END } = require('../bridge/layout.js')
const { threadPort } = require('../bridge/port.js')
const { bodyFailed, fetchFailed } = require('./errors.js')
const { makeResponse } = require('./response.js')
const { letManyListen } = require('./traits.js')

/**
 * @typedef {object} Waiting whoever waits for body bytes
 * @property {BodyHandle} handle kept alive as long as somebody waits
 * @property {boolean} all wants the whole body
 * @property {(chunk: Buffer | null) => void} resolve null: the end
 * @property {(error: unknown) => void} reject
 */

/** What a response and its stream hold of a body that is still coming. */
class BodyHandle {
  /** @type {FetchExchange} */
  #exchange

  /** @param {FetchExchange} exchange */
  constructor(exchange) {
    this.#exchange = exchange
    unread.register(this, exchange)
  }

  /**
   * The whole rest of the body.
   * @returns {Promise<Buffer>}
   */
  all() {
    return this.#exchange.read(this, true).then(orNothing)
  }

  /**
   * The next piece of the body; null: its end.
   * @returns {Promise<Buffer | null>}
   */
  next() {
    return this.#exchange.read(this, false)
  }

  /** Nobody wants the rest. */
  cancel() {
    this.#exchange.cancel()
  }
}

const NOTHING = Buffer.alloc(0)

function nothing() {}

/** @param {Buffer | null} bytes */
function orNothing(bytes) {
  return bytes ?? NOTHING
}

/** Nobody can read these any more: their connections are freed. */
const unread = new FinalizationRegistry((/** @type {FetchExchange} */ exchange) => exchange.cancel())

class FetchExchange {
  id = 0
  /** @type {import('./request.js').Order} */
  order
  /** @type {(response: Response) => void} */
  #resolve
  /** @type {(error: unknown) => void} */
  #reject
  #port = threadPort()
  #open = false
  /** Body bytes that nobody has read. @type {Buffer[]} */
  #chunks = []
  #ended = false
  #failed = false
  /** @type {unknown} */
  #error
  /** @type {Waiting | null} */
  #waiting = null
  /** @type {(() => void) | null} */
  #onAbort = null
  /** Told when the piece of the request's body that was sent last has been taken. @type {(() => void) | null} */
  #onTaken = null
  /** @type {ReadableStreamDefaultReader<Uint8Array> | null} */
  #upload = null

  /**
   * @param {import('./request.js').Order} order
   * @param {(response: Response) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  constructor(order, resolve, reject) {
    this.order = order
    this.#resolve = resolve
    this.#reject = reject
  }

  start() {
    const { order } = this
    const { signal } = order
    if (signal !== null) {
      if (signal.aborted) return this.#abort(signal.reason)
      this.#onAbort = () => this.#abort(signal.reason)
      letManyListen(signal)
      signal.addEventListener('abort', this.#onAbort, { once: true })
    }
    const { submission } = this.#port
    this.id = this.#port.open(/** @type {any} */ (this))
    this.#open = true
    submission.fetch(this.id, order.flags, order.identity, order.limits, order.timeoutMs, order.text)
    const { body } = order
    if (body === null) return
    if (typeof body === 'string' || body instanceof Uint8Array) {
      submission.write(this.id, body, null, 0)
      submission.end(this.id, 0)
    } else this.#send(body)
  }

  /**
   * Sends a stream: the next piece when the one before was taken.
   * @param {ReadableStream<Uint8Array>} stream
   */
  async #send(stream) {
    const { submission } = this.#port
    const reader = stream.getReader()
    this.#upload = reader
    try {
      while (this.#open) {
        const { done, value } = await reader.read()
        if (!this.#open) break
        if (done) {
          submission.end(this.id, 0)
          break
        }
        if (!(value instanceof Uint8Array)) throw new TypeError('Received non-Uint8Array chunk')
        if (value.byteLength === 0) continue
        const taken = new Promise((resolve) => {
          this.#onTaken = () => resolve(undefined)
        })
        submission.write(this.id, value, null, 0)
        await taken
      }
    } catch (error) {
      this.#upload = null
      if (!this.#open) return
      this.#port.submission.abortFetch(this.id)
      this.#fail(fetchFailed(error))
    }
    this.#upload = null
  }

  onWritten() {
    const told = this.#onTaken
    this.#onTaken = null
    told?.()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/heads.js').Head} head
   * @param {Buffer | null} body
   */
  onResponse(status, flags, head, body) {
    const resolve = this.#resolve
    // They lead to the response, which would never be collected.
    this.#resolve = nothing
    this.#reject = nothing
    if ((flags & MESSAGE_END) !== 0) {
      this.#close()
      resolve(makeResponse(this.order, status, head, body, null))
      return
    }
    if (body !== null) this.#chunks.push(body)
    resolve(makeResponse(this.order, status, head, null, new BodyHandle(this)))
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    this.#chunks.push(chunk)
    const waiting = this.#waiting
    if (waiting !== null) {
      if (waiting.all) this.#port.submission.acknowledge(this.id, chunk.length)
      else {
        this.#waiting = null
        waiting.resolve(this.#take())
      }
    }
    if ((flags & MESSAGE_END) !== 0) this.onEnd()
  }

  onEnd() {
    this.#close()
    this.#ended = true
    const waiting = this.#waiting
    if (waiting === null) return
    this.#waiting = null
    waiting.resolve(waiting.all ? this.#rest() : null)
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} text
   */
  onError(flags, errno, text) {
    this.#fail(bodyFailed(flags, text, errno))
  }

  /** @param {unknown} error */
  #fail(error) {
    this.#close()
    this.#failed = true
    this.#error = error
    this.#chunks = []
    const waiting = this.#waiting
    this.#waiting = null
    waiting?.reject(error)
    // Of no effect once there is a response.
    this.#reject(error)
  }

  /** @param {unknown} reason */
  #abort(reason) {
    if (this.#open) this.#port.submission.abortFetch(this.id)
    const { body } = this.order
    if (this.#upload === null && body !== null && typeof body === 'object' && 'cancel' in body && !body.locked) {
      body.cancel(reason).catch(() => {})
    }
    this.#fail(reason)
  }

  /** Nobody wants the rest of the body. */
  cancel() {
    if (!this.#open) return
    this.#port.submission.abortFetch(this.id)
    this.#close()
    this.#chunks = []
    this.#ended = true
  }

  /** The engine has nothing more to say. */
  #close() {
    const { signal } = this.order
    if (this.#onAbort !== null && signal !== null) {
      signal.removeEventListener('abort', this.#onAbort)
      this.#onAbort = null
    }
    if (!this.#open) return
    this.#open = false
    this.#port.release(this.id)
    this.onWritten()
    const upload = this.#upload
    this.#upload = null
    upload?.cancel().catch(() => {})
  }

  /**
   * @param {BodyHandle} handle
   * @param {boolean} all
   * @returns {Promise<Buffer | null>}
   */
  read(handle, all) {
    if (this.#failed) return Promise.reject(this.#error)
    if (this.#ended && all) return Promise.resolve(this.#rest())
    if (!all && this.#chunks.length > 0) return Promise.resolve(this.#take())
    if (this.#ended) return Promise.resolve(null)
    for (const chunk of this.#chunks) this.#port.submission.acknowledge(this.id, chunk.length)
    return new Promise((resolve, reject) => {
      this.#waiting = { handle, all, resolve, reject }
    })
  }

  #take() {
    const chunk = /** @type {Buffer} */ (this.#chunks.shift())
    if (this.#open) this.#port.submission.acknowledge(this.id, chunk.length)
    return chunk
  }

  #rest() {
    const chunks = this.#chunks
    this.#chunks = []
    return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)
  }
}

module.exports = { BodyHandle, FetchExchange }
