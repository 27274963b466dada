'use strict'

// The body of a request that is a stream: the next piece is read and sent when the one before was taken.

const { Buffer } = require('node:buffer')

const NOTHING = Buffer.alloc(0)

function nothing() {}

class Upload {
  /** @type {import('./request.js').FetchRequest} */
  #request
  /** @type {(bytes: Uint8Array, isLast: boolean) => void} */
  #send
  /** @type {(error: unknown) => void} */
  #fail
  /** As long as there is something to read, and somebody wants it. @type {ReadableStreamDefaultReader<Uint8Array> | null} */
  #reader = null
  /** Told when the piece that was sent last has been taken. @type {(() => void) | null} */
  #onTaken = null
  /** The piece that was sent last, until it has been taken. @type {{ bytes: Uint8Array, isLast: boolean } | null} */
  #piece = null

  /**
   * @param {import('./request.js').FetchRequest} request
   * @param {(bytes: Uint8Array, isLast: boolean) => void} send
   * @param {(error: unknown) => void} fail
   */
  constructor(request, send, fail) {
    this.#request = request
    this.#send = send
    this.#fail = fail
  }

  async start() {
    const { body, length } = this.#request
    const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader()
    this.#reader = reader
    let left = length
    try {
      for (;;) {
        const { done, value } = await reader.read()
        // Nobody wants it any more.
        if (this.#reader === null) break
        if (done) {
          if (left > 0) throw lengthDiffers()
          // With a length that is known, the last piece was the end.
          if (left < 0 || length === 0) this.#sendPiece(NOTHING, true)
          break
        }
        if (!(value instanceof Uint8Array)) throw new TypeError('Received non-Uint8Array chunk')
        if (value.byteLength === 0) continue
        if (length >= 0 && value.byteLength > left) throw lengthDiffers()
        if (length >= 0) left -= value.byteLength
        if (left === 0) {
          this.#sendPiece(value, true)
          continue
        }
        const taken = new Promise((resolve) => {
          this.#onTaken = () => resolve(undefined)
        })
        this.#sendPiece(value, false)
        await taken
      }
    } catch (error) {
      if (this.#reader !== null) this.#fail(error)
    }
    this.#reader = null
  }

  /**
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  #sendPiece(bytes, isLast) {
    this.#piece = { bytes, isLast }
    this.#send(bytes, isLast)
  }

  taken() {
    const told = this.#onTaken
    this.#onTaken = null
    this.#piece = null
    told?.()
  }

  /** Nothing of the request has been sent: what was given for it goes another way. */
  resend() {
    if (this.#piece !== null) this.#send(this.#piece.bytes, this.#piece.isLast)
  }

  /**
   * It is read no further.
   * @param {unknown} reason what its source is told
   */
  end(reason) {
    this.taken()
    const reader = this.#reader
    this.#reader = null
    reader?.cancel(reason).catch(nothing)
  }
}

/** A stream that is shorter or longer than it was said to be. */
function lengthDiffers() {
  const message = 'Request body length does not match content-length header'
  return Object.assign(new Error(message), { code: 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH' })
}

module.exports = { Upload }
