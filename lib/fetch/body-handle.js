'use strict'

// What a response and its stream hold of a body that is still coming, so that it is given up when nobody can read it any more.

const { Buffer } = require('node:buffer')

const NOTHING = Buffer.alloc(0)

/** How a body is read: the next piece, all that is left, or all in memory that can be transferred to other threads. */
const PIECE = 0
const WHOLE = 1
const OWNED = 2

/**
 * @typedef {object} Waiting whoever waits for body bytes
 * @property {BodyHandle} handle kept alive as long as somebody waits
 * @property {number} how PIECE, WHOLE or OWNED
 * @property {(chunk: Buffer | null) => void} resolve null: the end
 * @property {(error: unknown) => void} reject
 */

/** What a response and its stream hold of a body that is still coming. */
class BodyHandle {
  /** @type {import('./controller.js').FetchController} */
  #fetch

  /** @param {import('./controller.js').FetchController} fetch */
  constructor(fetch) {
    this.#fetch = fetch
    unread.register(this, fetch)
  }

  /**
   * The whole rest of the body.
   * @returns {Promise<Buffer>}
   */
  all() {
    return this.#fetch.read(this, WHOLE).then(orNothing)
  }

  /**
   * The same as memory of the runtime's own, which can be transferred to other threads.
   * @returns {Promise<ArrayBuffer>}
   */
  buffer() {
    return this.#fetch.read(this, OWNED).then(toBuffer)
  }

  /**
   * The next piece of the body, in memory of its own; null: its end.
   * @returns {Promise<Uint8Array | null>}
   */
  next() {
    return this.#fetch.read(this, PIECE).then(toBytes)
  }

  /**
   * The stream that shows the body hears at once of what ends it early.
   * @param {ReadableByteStreamController} controller
   */
  watch(controller) {
    this.#fetch.stream = new WeakRef(controller)
  }

  /** Nobody wants the rest. */
  cancel() {
    this.#fetch.cancel()
  }

  /** What is read piece by piece is put together by its reader. */
  limit() {
    this.#fetch.limitWhole()
  }
}

/** @param {Buffer | null} bytes */
function orNothing(bytes) {
  return bytes ?? NOTHING
}

/** @param {Buffer | null} bytes in memory of their own */
function toBuffer(bytes) {
  return bytes === null ? new ArrayBuffer(0) : /** @type {ArrayBuffer} */ (bytes.buffer)
}

/** @param {Buffer | null} bytes in memory of their own */
function toBytes(bytes) {
  return bytes === null ? null : new Uint8Array(bytes.buffer)
}

/** Nobody can read these any more: their connections are freed. */
const unread = new FinalizationRegistry((/** @type {import('./controller.js').FetchController} */ fetch) =>
  fetch.cancel(),
)

module.exports = { BodyHandle, OWNED, PIECE, WHOLE }
