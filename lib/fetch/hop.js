'use strict'

// One request of a fetch over an agent's connections, as lease.js, queue.js and connection.js know requests: its pool,
// limits, deadlines, retries, counters and diagnostics are those of http.request over the same agent.
//
// A hop is also what those show of it: the `request` of diagnostics messages, an entry of `agent.requests`. Its owner hears
// of it until it is abandoned or over; its connection is checked in before its owner hears of the response's end.

const { maxHeaderSize } = require('node:http')

const {
  ADOPTING,
  ALL_WRITTEN,
  BEGIN_FETCH,
  BEGIN_IDEMPOTENT,
  BEGIN_KEEP,
  BEGIN_NO_BODY,
  BEGIN_REUSED,
  IDLE,
  INFORMATIONAL,
  KEEP_ALIVE,
  MAY_DO,
  MESSAGE_END,
  MIGHT_DO,
  RENEGOTIATES,
  WRITE_WANT_ACK,
} = require('../bridge/layout.js')
const { isLookupReplaced } = require('../runtime/genuine.js')
const native = require('../bridge/native.js')
const { connectionReset } = require('../common/errors.js')
const { checkIn, noteHint } = require('../client-request/response.js')
const { lease } = require('../exchange/lease.js')
const { SAFE_METHODS } = require('../exchange/upload.js')
const { AsyncResource } = require('../runtime/probes.js')
const { takeTurn } = require('../exchange/queue.js')
const { bodyFailed, closedBySomebody, fetchFailed } = require('./errors.js')
const { fieldOf, wireHead } = require('./head.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../agent/origins.js').Origin} Origin */
/** @typedef {import('./request.js').Order} Order */

/**
 * Who sends hops, and hears of them.
 * @typedef {object} Owner
 * @property {() => void} onReady a body that is a stream may be sent now
 * @property {() => void} onTaken what was sent of it last has been taken
 * @property {(status: number, head: import('../bridge/response-heads.js').Head, body: Buffer | null, ended: boolean) => void} onResponse
 * @property {(chunk: Buffer, ended: boolean) => void} onData
 * @property {() => void} onEnd
 * @property {() => void} onStalled no more comes until what is there has been read
 * @property {(error: unknown) => void} onFailed
 * @property {(agent: any, origin: Origin) => void} onUnmatched nothing was sent: the engine's TLS has nothing in common with
 *   the server's, but the runtime's may have
 */

/** Hears nothing. @type {Owner} */
const NOBODY = Object.freeze({
  onReady() {},
  onTaken() {},
  onResponse() {},
  onData() {},
  onEnd() {},
  onStalled() {},
  onFailed() {},
  onUnmatched() {},
})

/** What a connection may ask of those that are sent piece by piece. */
const OUTGOING = Object.freeze({ pending: 0, connected() {}, cork() {}, uncork() {} })
/** Callbacks are in the context of fetch()'s promise already. */
const RESOURCE = Object.freeze({ runInAsyncScope: run })

/**
 * @param {(...values: any[]) => unknown} action
 * @param {unknown} receiver
 * @param {...unknown} values
 */
function run(action, receiver, ...values) {
  return action.apply(receiver, values)
}

class Hop {
  id = 0
  /** Users get copies of what comes. */
  copiesChunks = true
  /** @type {Connection | null} */
  connection = null
  /** @type {import('../exchange/queue.js').Wait | null} */
  wait = null
  isForeign = false
  isSettled = false
  isCheckInDue = false
  idleHintMs = -1
  // What is told of how it got its connection.
  foundBy = 0
  foundMore = 0
  queuedMs = 0
  useCount = 0
  replaced = 0
  isResent = false
  hasTimedOut = false
  reusedSocket = false
  /** @type {undefined} */
  _header = undefined
  /** The agent's `timeout` tells silence, and ends nothing. */
  timeout = 0
  /** The response is its owner's. */
  res = null
  outgoing = OUTGOING
  /** @type {{ runInAsyncScope: (...values: any[]) => any }} */
  resource = RESOURCE
  /** @type {Owner} */
  #owner
  #order
  #mayStay = true
  #keepsAlive = true
  /** Whether all of the request was handed to the engine. */
  #isComplete = false
  /** Whether the kernel has all of it. */
  #isSent = false
  #sent = 0
  /** @type {Error | undefined} */
  #reason = undefined

  /**
   * @param {Order} order
   * @param {any} agent
   * @param {Owner} owner
   */
  constructor(order, agent, owner) {
    this.#order = order
    this.#owner = owner
    this.agent = agent
    this.options = order.target.wanted
  }

  // What requests show.

  get req() {
    return this
  }

  get method() {
    return this.#order.method
  }

  get url() {
    return this.#order.target.href
  }

  get path() {
    return this.#order.target.path
  }

  get host() {
    return this.options.host
  }

  /** @param {string} name in lower case */
  getHeader(name) {
    const value = fieldOf(this.#order, name)
    return value === undefined && name === 'host' ? this.#order.target.authority : value
  }

  /** @param {Error} [error] */
  destroy(error) {
    this.#reason = error
    // One that waits is told of it by its Wait.
    if (this.wait === null && !this.isSettled) this.connection?.view.destroy(error)
  }

  setTimeout() {}

  /**
   * Asks for a connection, and goes out on it.
   * @param {Origin} origin
   * @param {boolean} isPlain whether the options say no more about the connection than host and port
   */
  start(origin, isPlain) {
    this.origin = origin
    this.isPlain = isPlain
    this.port = origin.origins.port
    this.id = this.port.open(/** @type {any} */ (this))
    // Whoever looks names up for it does so in the context of whoever fetches.
    if (isLookupReplaced()) this.resource = new AsyncResource('HTTPCLIENTREQUEST')
    lease(/** @type {any} */ (this), false, begin)
  }

  /** @param {Connection} connection */
  connect(connection) {
    this.connection = connection
    connection.lease(/** @type {any} */ (this))
  }

  begin() {
    const { agent, id } = this
    const connection = /** @type {Connection} */ (this.connection)
    const { submission } = /** @type {import('../bridge/port.js').Port} */ (this.port)
    const { patience, retries } = /** @type {Origin} */ (this.origin).origins
    const order = this.#order
    const { body, method } = order
    connection.startTimeout(0)
    const keepAlive = agent.keepAlive || Number.isFinite(agent.maxSockets)
    this.#mayStay = keepAlive && !/\bclose\b/i.test(fieldOf(order, 'connection') ?? '')
    let flags = BEGIN_FETCH
    if (this.#mayStay) flags |= BEGIN_KEEP
    if (this.foundBy === IDLE || this.foundBy === ADOPTING) flags |= BEGIN_REUSED
    if (method === 'HEAD') flags |= BEGIN_NO_BODY
    if (retries && (SAFE_METHODS.has(method) || this.#hasKey())) flags |= BEGIN_IDEMPOTENT
    submission.begin(id, flags, maxHeaderSize, connection.id)
    if (patience !== null) submission.patience(id, patience.headersMs, patience.bodyMs)
    this.#sent = submission.write(id, wireHead(order, keepAlive), 'latin1', 0)
    if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
      if (body !== null) this.#sent += submission.write(id, body, 'utf8', 0)
      this.#isComplete = true
      submission.end(id, 0)
    } else {
      this.#owner.onReady()
    }
    connection.bytesWritten += this.#sent
    if (order.trace === null) return
    order.trace.sendHead(order, connection.view, keepAlive)
    if (this.#isComplete) order.trace.sendEnd()
  }

  /** Whether the server can tell a repetition of this request. */
  #hasKey() {
    return this.getHeader('idempotency-key') !== undefined || this.getHeader('x-idempotency-key') !== undefined
  }

  /**
   * A piece of a body that is a stream.
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  send(bytes, isLast) {
    if (this.isSettled) return
    const { submission } = /** @type {import('../bridge/port.js').Port} */ (this.port)
    const { id } = this
    const isChunked = this.#order.length < 0
    let sent = 0
    if (bytes.byteLength > 0) {
      if (isChunked) sent += submission.write(id, `${bytes.byteLength.toString(16)}\r\n`, 'latin1', 0)
      sent += submission.write(id, bytes, null, isLast || isChunked ? 0 : WRITE_WANT_ACK)
      if (isChunked) sent += submission.write(id, '\r\n', 'latin1', isLast ? 0 : WRITE_WANT_ACK)
    }
    if (isLast) {
      if (isChunked) sent += submission.write(id, '0\r\n\r\n', 'latin1', 0)
      submission.end(id, 0)
      this.#isComplete = true
      this.#order.trace?.sendEnd()
    }
    this.#sent += sent
    const connection = /** @type {Connection} */ (this.connection)
    connection.bytesWritten += sent
  }

  /** @param {number} bytes of the response's body that were consumed */
  acknowledge(bytes) {
    if (!this.isSettled) this.port?.submission.acknowledge(this.id, bytes)
  }

  /** @param {number} most bytes of the body, which is read at once; 0: it is read piece by piece */
  read(most) {
    if (!this.isSettled) this.port?.submission.readFetch(this.id, most)
  }

  /** Its owner has no more interest in it. */
  abandon() {
    this.#owner = NOBODY
    this.destroy()
  }

  /** @param {number} written bytes the kernel has */
  onWritten(written) {
    if (written !== this.#sent) return
    if (this.#isComplete) this.#isSent = true
    if (this.isCheckInDue) this.#checkIn()
    else this.#owner.onTaken()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   */
  onResponse(status, flags, head, body) {
    if ((flags & INFORMATIONAL) !== 0) return
    const connection = /** @type {Connection} */ (this.connection)
    connection.bytesRead += head.size + (body === null ? 0 : body.length)
    noteHint(/** @type {any} */ (this), head.hint())
    this.#note(flags)
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.#finish()
    this.#owner.onResponse(status, head, body, ended)
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    const connection = /** @type {Connection} */ (this.connection)
    connection.bytesRead += chunk.length
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.#finish()
    this.#owner.onData(chunk, ended)
  }

  /** @param {number} flags */
  onEnd(flags) {
    this.#note(flags)
    this.#finish()
    this.#owner.onEnd()
  }

  /** @param {number} flags of a RESPONSE or its END */
  #note(flags) {
    if ((flags & KEEP_ALIVE) === 0) this.#mayStay = false
    if ((flags & ALL_WRITTEN) !== 0) this.#isSent = true
  }

  /** The response is complete: the connection is free as soon as the request's last byte is out. */
  #finish() {
    if (this.#mayStay && this.#isSent) {
      this.#checkIn()
    } else if (this.#mayStay && this.#isComplete) {
      this.isCheckInDue = true
      this.port?.submission.write(this.id, '', 'latin1', WRITE_WANT_ACK)
    } else {
      const connection = /** @type {Connection} */ (this.connection)
      native.checkIn(connection.id, 0)
      this.settle()
      connection.noteClosed()
      connection.view.destroy()
    }
  }

  #checkIn() {
    checkIn(/** @type {any} */ (this))
    const { view, isClosed } = /** @type {Connection} */ (this.connection)
    if (view._httpMessage === this) view._httpMessage = null
    if (isClosed) view.destroy()
    else if (this.agent.listenerCount('free') > 1) this.agent.emit('free', view, this.origin?.options)
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} text
   */
  onError(flags, errno, text) {
    this.settle()
    const connection = /** @type {Connection} */ (this.connection)
    connection.noteClosed()
    connection.view.destroy()
    const error = bodyFailed(flags, text, errno)
    if ((flags & RENEGOTIATES) !== 0) /** @type {Origin} */ (this.origin).noteRenegotiation()
    // The engine leaves it to who asked whether such a failure is one.
    if ((flags & (MAY_DO | MIGHT_DO)) !== 0) {
      const origin = /** @type {Origin} */ (this.origin)
      if (origin.handsOver((flags & MAY_DO) !== 0)) {
        this.#owner.onUnmatched(this.agent, origin)
        return
      }
      origin.noteError(/** @type {Error} */ (error.cause))
    }
    this.#owner.onFailed(error)
  }

  /**
   * Its turn has come.
   * @param {number} kind
   * @param {number} connection
   */
  onAssigned(kind, connection) {
    takeTurn(/** @type {any} */ (this), kind, connection)
  }

  /**
   * Its connection is being destroyed.
   * @param {Error | null} error
   */
  onDestroyed(error) {
    if (this.isSettled) return
    const { submission } = /** @type {import('../bridge/port.js').Port} */ (this.port)
    submission.abort(this.id, /** @type {Connection} */ (this.connection).id)
    submission.abortFetch(this.id)
    this.settle()
    this.#owner.onFailed(fetchFailed(error ?? closedBySomebody()))
  }

  /**
   * It gets no connection.
   * @param {Error | undefined} error
   */
  failUnserved(error) {
    this.#owner.onFailed(fetchFailed(error ?? this.#reason ?? connectionReset('socket hang up')))
  }

  settle() {
    if (this.isSettled) return
    this.keepAlive(true)
    this.isSettled = true
    this.port?.release(this.id)
  }

  /** @param {boolean} on whether it keeps the event loop alive, until it is over */
  keepAlive(on) {
    if (this.#keepsAlive === on || this.isSettled) return
    this.#keepsAlive = on
    if (on) this.port?.hold()
    else this.port?.loosen()
  }

  /** @param {boolean} on whether the program looks its name up, which keeps the event loop alive then, or nothing does */
  setLookingUp(on) {
    this.keepAlive(!on)
  }

  /** The user of an agent's socket has ended it: it takes no further request. */
  endConnection() {
    this.#mayStay = false
  }

  onTimeout() {}

  onParted() {}

  onStalled() {
    this.#owner.onStalled()
  }

  /** That is for whoever reads it to say. */
  setRef() {}

  hold() {}

  resume() {}

  /** Whoever writes to an agent's socket while it carries a fetch does nothing. */
  write() {
    return false
  }
}

/** @param {any} hop */
function begin(hop) {
  hop.begin()
}

module.exports = { Hop }
