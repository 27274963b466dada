'use strict'

// One engine connection as this thread sees it: from the lease that dials it until it is closed. It serves one exchange
// at a time and shows as `req.socket`.

const net = require('node:net')

const { clearTimeout, now, setTimeout } = require('../runtime/captured.js')
const { closes, opens, retries, tellClosed, tellOpened, tellRetried } = require('../common/diagnostics.js')
const { CLOSE_REASONS } = require('../common/reasons.js')
const { ADOPTED, ASKS, REPLACES, RESENT } = require('../bridge/layout.js')
const { typeOfService } = require('../bridge/native.js')
const { lazy } = require('../runtime/lazy.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */
/** @typedef {import('../agent/origin.js').Origin} Origin */

/**
 * Whether, and when, TCP probes a peer that says nothing; where a number is 0, the system's own numbers stay.
 * @typedef {{ enable: boolean, delayS: number, intervalS: number, count: number }} KeepAlive
 */

const names = lazy(() => require('./lookup.js'))
const handshake = lazy(() => require('../tls/handshake.js'))

const IDLE_TIMEOUT = CLOSE_REASONS.indexOf('idle-timeout')

/** By these programs judge a connection before anything is sent on it: they pin keys, or filter addresses. */
const GUARDS = ['lookup', 'connect', 'ready', 'secure', 'secureConnect']

/** Orders connections by when they became idle. */
let idleOrder = 0

/** What a timer of the runtime can count: as its sockets do, it is no longer than that. */
const MOST_TIMER_MS = 0x7fffffff

class Connection {
  /** The exchange it serves; null while idle. @type {Exchange | null} */
  exchange = null
  /** Whether the engine has it no more: there is nothing to close. */
  isClosed = false
  /** Whether it was opened, ever. */
  isConnected = false
  /** Whether it was not opened for its request: it is a place in a session that others have places in, or was another agent's. */
  isJoined = false
  /** What its TLS handshake came to; null: it has none, or is not that far. @type {import('../tls/secured.js').Secured | null} */
  secured = null
  idleSince = 0
  /** When its dial began. */
  dialedAt = now()
  /** Requests it was leased for. */
  uses = 0
  /** Why it was closed, as CLOSED says; 0: it was not, or the record is on its way. */
  closeReason = 0
  /** How many more requests the server will take. */
  usesLeft = Number.POSITIVE_INFINITY
  bytesRead = 0
  bytesWritten = 0
  /** Whether listeners of its socket judge connections: one that replaces it must be shown to them first. */
  isGuarded = false
  /** Whether the program has looked its name up, and has heard of that. */
  isLookedUp = false
  /** @type {string[]} */
  #addresses = []
  /** @type {NodeJS.Timeout | null} */
  #timer = null
  #timeoutMs = 0
  #lastActive = 0
  /** Events that a socket has listeners of from the start. */
  #ownEvents

  /**
   * @param {Origin} origin
   * @param {number} id
   * @param {Record<string, any>} options
   */
  constructor(origin, id, options) {
    this.origin = origin
    this.id = id
    this.port = origin.origins.port
    this.socket = origin.createSocket(this, options)
    this.socket.connecting = true
    this.#ownEvents = this.socket._eventsCount
    this.port.connections.set(id, this)
    origin.add(this)
  }

  /** Looks whether its socket has listeners by now that judge connections. */
  noteGuards() {
    const { socket } = this
    // Nearly always nobody listens to anything.
    this.isGuarded =
      (socket._eventsCount === undefined || socket._eventsCount !== this.#ownEvents) &&
      GUARDS.some((event) => socket.listenerCount(event) > 0)
  }

  get isIdle() {
    return this.exchange === null && !this.isGone
  }

  get isGone() {
    return this.isClosed || this.socket.destroyed
  }

  /** @param {Exchange} exchange */
  lease(exchange) {
    this.exchange = exchange
    exchange.useCount = this.uses
    this.uses += 1
    this.origin.stale = true
    this.socket._httpMessage = exchange.req
  }

  /** The exchange is over and the engine keeps the connection, for nobody or for its next exchange. */
  free() {
    this.exchange = null
    idleOrder += 1
    this.idleSince = idleOrder
    this.origin.stale = true
    if (this.origin.origins.onQuiet !== null) this.origin.origins.noteQuiet()
  }

  /** The engine has closed it. */
  noteClosed() {
    this.isClosed = true
    this.origin.stale = true
  }

  /**
   * @param {number} flags
   * @param {number} reason why the one that it replaces was closed
   * @param {string} text fields of CONNECTED
   */
  onConnected(flags, reason, text) {
    const first = this.#addresses.length === 0
    this.#addresses = text.split('\0')
    this.usesLeft = Number.POSITIVE_INFINITY
    this.isJoined = (flags & ADOPTED) !== 0
    if ((flags & REPLACES) !== 0) this.#onReplaced((flags & RESENT) !== 0, reason)
    if (opens.hasSubscribers && !this.isJoined) tellOpened(this)
    if (this.socket.destroyed) return
    // A replacement for a connection that died idle is none of the user's business, unless they judge connections.
    const action = first ? connected : (flags & ASKS) !== 0 ? askGuards : undefined
    if (action === undefined) return
    this.touch()
    const { exchange } = this
    if (exchange === null) action(this)
    else exchange.resource.runInAsyncScope(action, null, this)
  }

  /** The engine wants to know what its name stands for. */
  onLookup() {
    if (this.isGone) return
    const { exchange } = this
    if (exchange === null) names().lookUp(this, null)
    else exchange.resource.runInAsyncScope(names().lookUp, null, this, exchange)
  }

  /**
   * Hands are shaken.
   * @param {number} flags
   * @param {string} text fields of SECURED
   */
  onSecured(flags, text) {
    handshake().onSecured(this, flags, text)
  }

  /**
   * A fresh connection has taken the place of one that was dead, for the same exchange.
   * @param {boolean} resent
   * @param {number} reason
   */
  #onReplaced(resent, reason) {
    const { exchange } = this
    this.uses = 1
    if (exchange === null) return
    exchange.replaced = reason
    exchange.isResent = resent
    exchange.useCount = 0
    if (resent && retries.hasSubscribers) tellRetried(exchange, reason)
  }

  /** @param {number} reason */
  onClosed(reason) {
    this.noteClosed()
    this.closeReason = reason
    if (this.port.connections.get(this.id) === this) this.port.connections.delete(this.id)
    if (closes.hasSubscribers) tellClosed(this)
    if (this.socket.destroyed) {
      this.leave()
      return
    }
    try {
      if (reason === IDLE_TIMEOUT) this.socket.emit('timeout')
    } finally {
      // A listener that throws must not keep it in sight.
      this.socket.destroy()
    }
  }

  /** Takes it out of sight. */
  leave() {
    this.origin.remove(this)
  }

  /** How long each step of opening it took, in ms. */
  get timings() {
    const [dnsMs, connectMs, tlsMs, proxyMs] = this.#addresses.slice(4).map(Number)
    const timings = { dnsMs: dnsMs ?? 0, connectMs: connectMs ?? 0, tlsMs: tlsMs ?? 0 }
    return this.origin.proxy === undefined ? timings : { ...timings, proxyMs: proxyMs ?? 0 }
  }

  get localAddress() {
    return this.#addresses[0] || undefined
  }

  get localPort() {
    return this.#addresses[1] ? Number(this.#addresses[1]) : undefined
  }

  get remoteAddress() {
    return this.#addresses[2] || undefined
  }

  get remotePort() {
    return this.#addresses[3] ? Number(this.#addresses[3]) : undefined
  }

  /** @param {boolean} on */
  setNoDelay(on) {
    if (!this.isGone) this.port.submission.noDelay(this.id, on)
  }

  /** @param {KeepAlive} probes */
  setKeepAlive(probes) {
    if (!this.isGone) this.port.submission.keepAlive(this.id, probes)
  }

  /**
   * The type of service of what is sent, after setting it unless `tos` is negative: minus the system's number of an error;
   * null: it is not open, or has none. What is set before it opens holds from then on.
   * @param {number} tos
   * @returns {number | null}
   */
  typeOfService(tos) {
    return this.isGone ? null : typeOfService(this.id, tos)
  }

  /**
   * Reports inactivity of `ms`; 0: never. One timer lives on from request to request and looks at the time of the last
   * activity when it fires.
   * @param {number} ms
   */
  setTimeout(ms) {
    this.#timeoutMs = ms
    this.#stopTimer()
    if (ms > 0) this.#startTimer(ms)
  }

  /**
   * What the exchange starts with; cheap if it is what the last one had.
   * @param {number} ms
   */
  startTimeout(ms) {
    if (this.#timeoutMs === ms && (ms === 0 || this.#timer !== null)) this.touch()
    else this.setTimeout(ms)
  }

  /** There was activity. */
  touch() {
    if (this.#timeoutMs === 0) return
    this.#lastActive = now()
    if (this.#timer === null) this.#startTimer(this.#timeoutMs)
  }

  /** @param {number} ms */
  #startTimer(ms) {
    this.#lastActive = now()
    this.#arm(ms)
  }

  /** @param {number} ms */
  #arm(ms) {
    this.#timer = setTimeout(onTimer, Math.min(Math.ceil(ms), MOST_TIMER_MS), this)
    this.#timer.unref()
  }

  #stopTimer() {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  stopTimeout() {
    this.#timeoutMs = 0
    this.#stopTimer()
  }

  onTimer() {
    this.#timer = null
    // Idle connections are closed by the engine, in time.
    if (this.exchange === null || this.socket.destroyed) return
    const left = this.#timeoutMs - (now() - this.#lastActive)
    if (left > 0) this.#arm(left)
    else this.exchange.onTimeout()
  }

  /** Whether a name was looked up for it. */
  get isResolved() {
    const { options } = this.origin
    return !options.socketPath && net.isIP(options.host ?? '') === 0
  }
}

/** @param {Connection} connection */
function onTimer(connection) {
  connection.onTimer()
}

/** @param {Connection} connection */
function connected(connection) {
  connection.socket.connecting = false
  connection.isConnected = true
  tell(connection)
  connection.exchange?.onConnection()
}

/**
 * Nothing is sent on a replacement before whoever listens has seen it.
 * @param {Connection} connection
 */
function askGuards(connection) {
  const { id, port, socket } = connection
  let isSeen = false
  try {
    tell(connection)
    isSeen = true
  } finally {
    if (!isSeen) socket.destroy()
    else if (!socket.destroyed) port.submission.approve(id)
  }
}

/**
 * Its name stands for nothing that the engine could connect to.
 * @param {Connection} connection
 * @param {Error} error
 */
function tellUnknown({ isConnected, isGuarded, origin, socket }, error) {
  if (!isConnected || isGuarded) socket.emit('lookup', error, undefined, undefined, origin.options.host || 'localhost')
}

/** @param {Connection} connection that is open */
function tell(connection) {
  const { socket } = connection
  const { options } = connection.origin
  const address = connection.remoteAddress
  if (connection.isResolved && !connection.isLookedUp && address !== undefined) {
    socket.emit('lookup', null, address, net.isIP(address), options.host || 'localhost')
  }
  socket.emit('connect')
  socket.emit('ready')
  if (connection.secured !== null) handshake().announce(connection)
}

module.exports = { Connection, tellUnknown }
