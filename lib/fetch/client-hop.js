'use strict'

// One request of a fetch over TLS without an agent: the engine's client carries it, over HTTP/2 with servers that choose it.

const { FETCH_BODY_STREAM, FETCH_BODY_WHOLE, MESSAGE_END } = require('../bridge/layout.js')
const { threadPort } = require('../bridge/port.js')
const native = require('../native.js')
const { runtimePem } = require('../tls/trust.js')
const { bodyFailed } = require('./errors.js')
const { clientHead } = require('./head.js')

/** @typedef {import('./request.js').Order} Order */
/** @typedef {import('./hop.js').Owner} Owner */

/** @type {number | undefined} */
let client

/** The number of this thread's client: what it trusts is the runtime's. */
function clientNumber() {
  client ??= native.fetchClient(runtimePem(), process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0')
  return client
}

class ClientHop {
  id = 0
  #owner
  #order
  #port = threadPort()
  #isOpen = true

  /**
   * @param {Order} order
   * @param {Owner} owner
   */
  constructor(order, owner) {
    this.#order = order
    this.#owner = owner
  }

  start() {
    const { body } = this.#order
    const { submission } = this.#port
    const number = clientNumber()
    this.id = this.#port.open(/** @type {any} */ (this))
    const isWhole = typeof body === 'string' || body instanceof Uint8Array
    const flags = body === null ? 0 : isWhole ? FETCH_BODY_WHOLE : FETCH_BODY_STREAM
    submission.fetch(this.id, flags, number, clientHead(this.#order))
    if (isWhole) {
      submission.write(this.id, body, null, 0)
      submission.end(this.id, 0)
    } else if (body !== null) {
      this.#owner.onReady()
    }
  }

  /**
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  send(bytes, isLast) {
    if (!this.#isOpen) return
    if (bytes.byteLength > 0) this.#port.submission.write(this.id, bytes, null, 0)
    if (isLast) this.#port.submission.end(this.id, 0)
  }

  /** @param {number} bytes */
  acknowledge(bytes) {
    if (this.#isOpen) this.#port.submission.acknowledge(this.id, bytes)
  }

  /** @param {boolean} whole */
  read(whole) {
    if (this.#isOpen) this.#port.submission.readFetch(this.id, whole)
  }

  abandon() {
    if (!this.#isOpen) return
    this.#port.submission.abortFetch(this.id)
    this.#settle()
  }

  onWritten() {
    this.#owner.onTaken()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/heads.js').Head} head
   * @param {Buffer | null} body
   */
  onResponse(status, flags, head, body) {
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.#settle()
    this.#owner.onResponse(status, head, body, ended)
  }

  /**
   * @param {number} _flags
   * @param {Buffer} chunk
   */
  onData(_flags, chunk) {
    this.#owner.onData(chunk, false)
  }

  onEnd() {
    this.#settle()
    this.#owner.onEnd()
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} text
   */
  onError(flags, errno, text) {
    this.#settle()
    this.#owner.onFailed(bodyFailed(flags, text, errno))
  }

  #settle() {
    this.#isOpen = false
    this.#port.release(this.id)
  }
}

module.exports = { ClientHop }
