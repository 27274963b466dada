'use strict'

// One request over one connection, as the port, the queue, the lease and the connection know it: whoever carries requests
// extends this. Nobody else says BEGIN, and nobody else gives a connection back to the engine.
//
// - It has its connection from the lease to its check-in, or to the connection's end.
// - It settles once. After that the port does not know it any more.
// - Whoever extends it hears of what happens by the methods that begin with "on"; what the socket's users do comes by those
//   after them. What is not overridden is of no interest.

const {
  ADOPTING,
  BEGIN_GUARDED,
  BEGIN_ALONE,
  BEGIN_IN_LOOP,
  BEGIN_IDEMPOTENT,
  BEGIN_KEEP,
  BEGIN_NO_BODY,
  BEGIN_REUSED,
  CHECKED_IN_CLOSED,
  CHECKED_IN_HANDED,
  FALLBACK,
  IDLE,
  UNUSED,
} = require('../bridge/layout.js')
const native = require('../bridge/native.js')
const { isBinding } = require('../bridge/response-heads.js')
const { keepAliveBuffer } = require('../common/options/limits.js')

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../bridge/port.js').Port} Port */
/** @typedef {import('../bridge/response-heads.js').Head} Head */
/** @typedef {import('../common/errors.js').Scope} Scope */
/** @typedef {{ getHeader: (name: string) => unknown }} Asking who knows what a request says */

/** Callbacks are in the context of whoever waits for them already. @type {Scope} */
const IN_PLACE = Object.freeze({
  /**
   * @param {(...values: any[]) => any} action
   * @param {unknown} receiver
   * @param {...unknown} values
   */
  runInAsyncScope: (action, receiver, ...values) => action.apply(receiver, values),
})

/** What it does not know yet. @type {any} */
const UNKNOWN = null

class Exchange {
  /** Its number; 0: it was not opened. */
  id = 0
  /** @type {Connection | null} */
  connection = null
  /** Its place in the queue, while it waits. @type {import('./queue.js').Wait | null} */
  wait = null
  /** Its way through its host's gate, where there is one. @type {import('./gate.js').Pass | null} */
  pass = null
  /** Where it goes: known before it asks for a connection. @type {Origin} */
  origin = UNKNOWN
  /** Known before it is opened. @type {Port} */
  port = UNKNOWN
  /** What is shown of it: as `agent.requests` and messages of diagnostics channels have it. @type {any} */
  req = null
  /** In which asynchronous context its callbacks run. @type {Scope} */
  resource = IN_PLACE
  /** Whether it wants a slot for a real socket only. */
  isFallback = false
  /** Whether its options say no more about the connection than host and port. */
  isPlain = false
  /** Whether the port has forgotten it. */
  isSettled = false
  /** Whether its user's side is over, and the connection is checked in as soon as the request's last byte is out. */
  isCheckInDue = false
  /** Whether 'timeout' was emitted while it waited. */
  hasTimedOut = false
  /** Whether its users get copies of what comes. */
  copiesChunks = false
  /** Whether larger pieces come in memory of the runtime's own, which can be transferred, and not in the engine's. */
  ownsChunks = true
  /** How long the server's hint lets the connection stay idle, in ms; -1: it gave none. */
  idleHintMs = -1
  /** How it got its connection, as the engine answered. */
  foundBy = 0
  /** What the engine said with that: for an idle one how many ms it was, for one that is dialed why. */
  foundMore = 0
  /** How long it waited for it, in ms. */
  queuedMs = 0
  /** Requests that its connection had served before. */
  useCount = 0
  /** Why the connection that it had first was replaced; 0: it was not. */
  replaced = 0
  /** Whether it had been written to that one. */
  isResent = false
  /** Of its response, so far. */
  bytesRead = 0
  /** Of these, what came last. */
  lastRead = 0
  /** The port's round in which its response was told; -1: none was. */
  toldIn = -1
  #keepsAlive = true

  /**
   * @param {any} agent
   * @param {Record<string, any>} options what to connect to
   */
  constructor(agent, options) {
    this.agent = agent
    this.options = options
  }

  /** From here on it keeps the event loop alive, and records find it. */
  open() {
    this.id = this.port.open(this)
  }

  /** @param {Connection} connection */
  connect(connection) {
    this.connection = connection
    connection.lease(this)
  }

  /**
   * Has the engine begin: what is written next goes out on the connection.
   * @param {string} method
   * @param {number} kind BEGIN_FETCH or 0
   * @param {boolean} mayStay whether the request lets the connection live on
   * @param {boolean} isIdempotent whether it may be sent again
   * @param {number} maxHeaderSize bytes
   */
  begin(method, kind, mayStay, isIdempotent, maxHeaderSize) {
    const { foundBy, id, port } = this
    const { deadlines, inLoop, retries } = this.origin.origins
    const connection = /** @type {Connection} */ (this.connection)
    let flags = kind
    if (mayStay) flags |= BEGIN_KEEP
    if (foundBy === IDLE || foundBy === ADOPTING) flags |= BEGIN_REUSED
    if (method === 'HEAD') flags |= BEGIN_NO_BODY
    if (retries && isIdempotent) flags |= BEGIN_IDEMPOTENT
    if (connection.isGuarded) flags |= BEGIN_GUARDED
    else if (inLoop && port.isCalm()) flags |= port.isQuiet ? BEGIN_IN_LOOP | BEGIN_ALONE : BEGIN_IN_LOOP
    port.submission.begin(id, flags, maxHeaderSize, connection.id)
    if (deadlines !== null) port.submission.timeouts(id, deadlines.headersMs, deadlines.bodyMs)
  }

  /** @param {number} bytes of the response that its user has taken */
  acknowledge(bytes) {
    if (!this.isSettled) this.port.submission.acknowledge(this.id, bytes)
  }

  /** @param {number} bytes that came */
  noteReceived(bytes) {
    const connection = /** @type {Connection} */ (this.connection)
    connection.touch()
    connection.bytesRead += bytes
    this.bytesRead += bytes
    this.lastRead = bytes
  }

  /** @param {import('../bridge/response-heads.js').Hint} hint what a response says about its connection */
  noteHint({ binds, timeoutMs, max }) {
    const connection = /** @type {Connection} */ (this.connection)
    if (binds && this.origin.lends) native.bind(connection.id)
    // Some servers count down, others repeat their limit and close in time: the least that was ever said holds for both.
    connection.usesLeft = Math.min(connection.usesLeft - 1, max)
    if (connection.usesLeft <= 0) this.idleHintMs = 0
    else this.idleHintMs = timeoutMs < 0 ? -1 : Math.max(0, timeoutMs - keepAliveBuffer(this.agent))
  }

  /**
   * Gives the connection back; the engine decides at once whether it is idle, serves a waiter or is closed.
   * @param {Asking} [asking] who knows what was said on it
   */
  checkIn(asking = this.req) {
    const { origin, port } = this
    const connection = /** @type {Connection} */ (this.connection)
    origin.origins.syncLimits()
    if (origin.lends && isBound(asking)) native.bind(connection.id)
    const outcome = native.checkIn(connection.id, this.idleHintMs)
    this.settle()
    connection.free()
    if (outcome === CHECKED_IN_CLOSED) connection.noteClosed()
    else if (outcome === CHECKED_IN_HANDED) port.drainSoon()
    if (this.isCheckInDue && outcome === CHECKED_IN_CLOSED) connection.socket.destroy()
  }

  /** Gives back a connection that nothing was sent on. Returns whether it lives on. */
  returnUnused() {
    const { port } = this
    const connection = /** @type {Connection} */ (this.connection)
    const outcome = native.checkIn(connection.id, UNUSED)
    this.settle()
    connection.free()
    port.drainSoon()
    return outcome !== CHECKED_IN_CLOSED
  }

  /** It is over, and nobody may use its connection any more: whoever calls this destroys the socket. */
  retire() {
    const connection = /** @type {Connection} */ (this.connection)
    discard(connection.id)
    this.settle()
    connection.noteClosed()
  }

  /** The engine has nothing more to say about it. */
  settle() {
    if (this.isSettled) return
    if (!this.#keepsAlive) this.port.hold()
    this.isSettled = true
    this.port.release(this.id)
    // A real socket is used after that.
    if (this.pass !== null && !this.isFallback) this.pass.leave()
  }

  /** @param {boolean} on whether it keeps the event loop alive, until it is over */
  keepAlive(on) {
    if (this.#keepsAlive === on || this.isSettled) return
    this.#keepsAlive = on
    if (on) this.port.hold()
    else this.port.loosen()
  }

  /** @param {boolean} on whether the program looks its name up, which keeps the event loop alive then, or nothing does */
  setLookingUp(on) {
    this.keepAlive(!on)
  }

  /**
   * Its turn has come.
   * @param {number} kind
   * @param {number} connection
   */
  onAssigned(kind, connection) {
    const { wait } = this
    if (wait === null) {
      this.#returnTurn(kind, connection)
      return
    }
    wait.end()
    this.resource.runInAsyncScope(wait.onTurn, null, kind, connection)
  }

  /**
   * Its turn came when it had given up: the connection or slot goes to whoever is next.
   * @param {number} kind
   * @param {number} connection
   */
  #returnTurn(kind, connection) {
    const { id, origin, port } = this
    this.settle()
    if (kind === FALLBACK) native.releaseFallback(origin.origins.id, origin.key)
    else if (kind === IDLE) native.checkIn(connection, UNUSED)
    else port.submission.abort(id, connection)
    port.drainSoon()
  }

  /**
   * It waits for a connection no more, and gets none.
   * @param {Error | undefined} _error
   */
  failUnserved(_error) {}

  /** Its connection is open, and whoever listens has seen it. */
  onConnection() {}

  /** @param {number} _total bytes that the kernel has by now */
  onSent(_total) {}

  /**
   * Whether what a record tells has to wait until others have reacted to what they were told before.
   * @param {number} _flags of the record
   */
  isBehind(_flags) {
    return false
  }

  /**
   * Whether more of its response has to wait until its user has seen the first of it.
   * @param {number} _coming bytes
   */
  isUnseen(_coming) {
    return false
  }

  /**
   * A 1xx response: not the final one.
   * @param {number} _status
   * @param {number} _flags
   * @param {Head} _head
   */
  onInformation(_status, _flags, _head) {}

  /**
   * @param {number} _status
   * @param {number} _flags
   * @param {Head} _head
   * @param {Buffer | null} _body what came with it
   */
  onHead(_status, _flags, _head, _body) {}

  /**
   * @param {number} _flags
   * @param {Buffer} _chunk
   */
  onData(_flags, _chunk) {}

  /**
   * @param {number} _flags
   * @param {string} _trailers
   */
  onEnd(_flags, _trailers) {}

  /**
   * @param {number} _flags
   * @param {number} _errno
   * @param {string} _fields
   */
  onError(_flags, _errno, _fields) {}

  /** Nothing came or went for as long as its user said. */
  onTimeout() {}

  /** No more comes until what is there has been read. */
  onStalled() {}

  /** The connection has closed since the response was complete, and its user has not read it to its end. */
  onParted() {}

  /**
   * Its connection is being destroyed, by the user or after a failure.
   * @param {Error | null} _error
   */
  onDestroyed(_error) {}

  /** @param {Error} _error that its socket has emitted */
  onSocketError(_error) {}

  /** Its socket has closed. */
  onSocketClose() {}

  // What users of its socket do.

  /** @param {unknown} _ms what was said of a timeout before there was an open connection */
  noteTimeout(_ms) {}

  /** @param {boolean} _on */
  setRef(_on) {}

  hold() {}

  resume() {}

  /** They take the connection out of use. */
  endConnection() {}

  /**
   * @param {string | Uint8Array} _data
   * @param {BufferEncoding | null | undefined} _encoding
   * @param {((error?: Error) => void) | undefined} _callback
   * @returns {boolean} false: wait for 'drain'
   */
  write(_data, _encoding, _callback) {
    return false
  }

  cork() {}

  uncork() {}

  /** Bytes that do not count as sent yet. */
  get pending() {
    return 0
  }

  /** @param {boolean} _isClosed whether the request has: those who wait for bytes to be sent hear that they are not */
  failCallbacks(_isClosed) {}
}

/**
 * Gives up a connection: the engine closes it.
 * @param {number} id
 */
function discard(id) {
  native.checkIn(id, 0)
}

/**
 * Whether the server may know the connection's user by what a request has said on it.
 * @param {Asking} asking
 */
function isBound(asking) {
  const isTold = isBinding(asking.getHeader('authorization')) || isBinding(asking.getHeader('proxy-authorization'))
  // Headers given as an array are serialized without being kept: not worth a look into the text.
  return isTold || asking.getHeader('host') === undefined
}

module.exports = { discard, Exchange }
