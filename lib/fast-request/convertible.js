'use strict'

// An exchange that can be made whole at any time: who carries it then, and all that only that one can do.

const { AsyncResource } = require('node:async_hooks')

const { ALL_WRITTEN, IDLE } = require('../bridge/layout.js')
const { ENDED, MADE } = require('./state.js')
const { makeWhole } = require('./promote.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../client-request/exchange.js').Exchange} Exchange */

class Convertible extends AsyncResource {
  /** @type {number} */
  phase = MADE
  /** @type {any} */
  req = null
  /** @type {any} */
  res = null
  id = 0
  /** @type {any} */
  origin = null
  /** @type {any} */
  port = null
  /** @type {Connection | null} */
  connection = null
  /** Starts what carries it in its place, if it was made whole while it was pending. @type {(() => void) | null} */
  successor = null
  /** What the engine answered instead of an idle connection; -1: it has not. */
  answer = -1
  /** Bytes sent. */
  sent = 0
  idleHintMs = -1
  // What explain() tells of it.
  foundBy = IDLE
  foundMore = 0
  queuedMs = 0
  useCount = 0
  replaced = 0
  isResent = false
  wait = null
  isSettled = false
  isCheckInDue = false
  /** Of its records so far. */
  flags = 0
  /** @type {import('./promote.js').Whole | null} */
  #whole = null

  /**
   * @param {any} agent
   * @param {import('./template.js').Order} order
   */
  constructor(agent, order) {
    super('HTTPCLIENTREQUEST')
    this.agent = agent
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
      this.runInAsyncScope(makeWhole, null, /** @type {any} */ (this), this.#whole)
    }
    return this.#whole
  }

  /** @returns {Exchange} what carries it once it is whole */
  get carrier() {
    return /** @type {Exchange} */ (this.whole().exchange)
  }

  /** @param {Connection} connection */
  connect(connection) {
    this.connection = connection
    connection.lease(/** @type {any} */ (this))
  }

  /** The engine has nothing more to say about it. */
  settle() {
    if (this.isSettled) return
    this.isSettled = true
    this.port.release(this.id)
  }

  /** @param {number} written bytes the kernel has */
  onWritten(written) {
    this.connection?.touch()
    if (written === this.sent) this.flags |= ALL_WRITTEN
  }

  /** Nobody waits to hear that its bytes are sent. */
  isBehind() {
    return false
  }

  // What happens from here on is more than the lean way can carry.

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

  /** What a connection asks of requests under way. */
  get outgoing() {
    return this
  }

  /** A lent connection is told of as open. The request is on its way. */
  connected() {}

  /** Nobody waits to hear that its bytes are sent. */
  failCallbacks() {}

  /** Bytes that do not count as sent yet. */
  get pending() {
    return this.carrier.outgoing.pending
  }

  cork() {
    this.carrier.outgoing.cork()
  }

  uncork() {
    this.carrier.outgoing.uncork()
  }

  get resource() {
    return this
  }
}

module.exports = { Convertible }
