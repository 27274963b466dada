'use strict'

// An exchange that can be made whole at any time: who carries it then, and all that only that one can do.

const { ALL_WRITTEN, IDLE } = require('../bridge/layout.js')
const { Exchange } = require('../exchange/exchange.js')
const { AsyncResource } = require('../runtime/probes.js')
const { ENDED, MADE } = require('./state.js')
const { makeWhole } = require('./promote.js')

/** @typedef {import('../client-request/exchange.js').ClientExchange} ClientExchange */

class Convertible extends Exchange {
  /** @type {number} */
  phase = MADE
  /** @type {any} */
  res = null
  /** Starts what carries it in its place, if it was made whole while it was pending. @type {(() => void) | null} */
  successor = null
  /** What the engine answered instead of an idle connection; -1: it has not. */
  answer = -1
  /** Bytes sent. */
  sent = 0
  /** Of its records so far. */
  flags = 0
  /** @type {import('./promote.js').Whole | null} */
  #whole = null

  /**
   * @param {any} agent
   * @param {import('./template.js').Order} order
   */
  constructor(agent, order) {
    super(agent, order.options)
    this.origin = /** @type {import('../agent/origins.js').Origin} */ (order.origin)
    this.port = this.origin.origins.port
    this.resource = new AsyncResource('HTTPCLIENTREQUEST')
    this.foundBy = IDLE
    this.isPlain = true
    this.order = order
  }

  get isWhole() {
    return this.#whole !== null
  }

  /**
   * Makes request and response the runtime's own.
   * @returns {import('./promote.js').Whole}
   */
  whole() {
    if (this.#whole === null) {
      this.#whole = { exchange: null }
      this.resource.runInAsyncScope(makeWhole, null, this, this.#whole)
    }
    return this.#whole
  }

  /** @returns {ClientExchange} what carries it once it is whole */
  get carrier() {
    return /** @type {ClientExchange} */ (this.whole().exchange)
  }

  /** @param {number} total bytes the kernel has */
  onSent(total) {
    this.connection?.touch()
    if (total === this.sent) this.flags |= ALL_WRITTEN
  }

  // What happens from here on is more than the lean way can carry.

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   */
  onInformation(status, flags, head) {
    this.carrier.onInformation(status, flags, head)
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} fields
   */
  onError(flags, errno, fields) {
    this.carrier.onError(flags, errno, fields)
  }

  /**
   * @param {number} kind
   * @param {number} connection
   */
  onAssigned(kind, connection) {
    this.carrier.onAssigned(kind, connection)
  }

  /** @param {boolean} on */
  setRef(on) {
    this.carrier.setRef(on)
  }

  onParted() {
    this.carrier.onParted()
  }

  endConnection() {
    this.carrier.endConnection()
  }

  onTimeout() {
    this.carrier.onTimeout()
  }

  /** @param {Error | null} error */
  onDestroyed(error) {
    this.carrier.onDestroyed(error)
  }

  /**
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {((error?: Error) => void) | undefined} callback
   */
  write(data, encoding, callback) {
    return this.carrier.write(data, encoding, callback)
  }

  hold() {
    this.carrier.hold()
  }

  resume() {
    if (this.phase < ENDED) this.carrier.resume()
  }

  /** Bytes that do not count as sent yet. */
  get pending() {
    return this.carrier.pending
  }

  cork() {
    this.carrier.cork()
  }

  uncork() {
    this.carrier.uncork()
  }
}

module.exports = { Convertible }
