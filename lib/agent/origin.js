'use strict'

// What an agent has for one getName(): the connections, real sockets and waiters that its maps are made from, the key that
// the engine knows it by, and how to connect. The engine owns the state of connections.

const native = require('../bridge/native.js')
const { Line } = require('../common/line.js')
const { pick } = require('../common/options/merge.js')
const { PROFILE_KEYS, profileOf } = require('../common/options/profile.js')
const { lazy } = require('../runtime/lazy.js')
const { firstFamily } = require('../runtime/probes.js')
const { EngineSocket, H2C } = require('../socket/socket.js')
const { told } = require('./identity.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('./origins.js').Origins} Origins */
/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {Record<string, any>} Options */

/**
 * What the process counts an origin by: where it leads to, and nothing else that its name tells.
 * @param {string} scheme
 * @param {Options} own an agent's
 * @param {Options} options a request's
 */
function placeOf(scheme, own, options) {
  const socketPath = pick(own, options, 'socketPath')
  if (socketPath) return `${scheme}+unix:${socketPath}`
  const host = String(pick(own, options, 'host') || 'localhost').toLowerCase()
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${pick(own, options, 'port')}`
}

const settings = lazy(() => require('../tls/settings.js'))

/** Everything an agent has for one getName(). */
class Origin {
  /** Why its server is known to be one for the runtime's own TLS; undefined: it isn't. @type {string | undefined} */
  get legacyReason() {
    return undefined
  }

  /** @type {Set<Connection>} */
  connections = new Set()
  /** Real sockets in use and idle: those of requests that fell back to them. @type {Set<Socket>} */
  busySockets = new Set()
  /** Oldest first. @type {Socket[]} */
  idleSockets = []
  /** Real sockets that createSocket() has yet to deliver. */
  creating = 0
  /** Who waits, in order of arrival: any of them may give up at any time, at the same small cost. @type {Line<Exchange>} */
  queue = new Line()
  /** Whether its idle connections may become other origins', or other agents'. */
  lends
  /** What its connections go through. @type {AgentProxy | undefined} */
  proxy
  /** Whether the shown arrays are out of date. */
  stale = true
  /** What its requests pass before they ask for a connection; null: nothing. @type {import('../exchange/gate.js').Gate | null} */
  gate
  /** How its connections are secured; a text: why only the runtime can do it. @type {any} */
  secure = undefined
  #identity
  /** @type {unknown[]} */
  #profileValues = []
  #profile = 0
  /** What it was made with besides options. @type {any[]} */
  #profileBesides = []
  /** What the profile of plain options was made with besides them. @type {any[]} */
  #plainValues = []
  #plainProfile = 0

  /**
   * @param {Origins} origins
   * @param {string} name
   * @param {Options} options those of the first request, merged
   * @param {AgentProxy | undefined} proxy
   * @param {string} suffix of its name, after what tells connections apart
   * @param {string} identity what else than the name tells its connections from others
   * @param {string} label what it is called where names are reported: those of https hold keys
   */
  constructor(origins, name, options, proxy, suffix, identity = name, label = name) {
    this.origins = origins
    this.name = name + suffix
    this.label = label + suffix
    this.options = options
    this.proxy = proxy
    this.gate = origins.gateOf(options)
    this.#identity = this.proxy === undefined ? identity : `${identity}\0proxy ${this.proxy.id}`
    this.key = 0
    this.lends = origins.isShared || this.route !== ''
    this.open()
  }

  /** What the engine speaks to it. */
  get scheme() {
    return 'http'
  }

  /** What totals() calls it. */
  get place() {
    return placeOf(this.scheme, this.origins.agent.options, this.options)
  }

  /** By what its idle connections serve other origins as well; empty: they don't. A proxy takes requests for all of http. */
  get route() {
    const { options, origins, proxy } = this
    if (!proxy?.forwards(this.scheme)) return ''
    const others = PROFILE_KEYS.filter((name) => name !== 'host' && name !== 'port')
    const route = `\0proxy ${proxy.id}${JSON.stringify(others.map((name) => told(options[name])))}`
    return origins.isShared ? origins.identity(route, true) : `${route}\0agent ${origins.id}`
  }

  /** Has the engine keep what belongs to it, until it is closed. */
  open() {
    this.key = native.openOrigin(this.origins.id, this.#identity, this.label, this.place, this.route)
    this.forgetProfiles()
  }

  close() {
    const { id } = this.origins
    native.closeOrigin(id, this.key)
    this.key = 0
  }

  get isEmpty() {
    return (
      this.connections.size === 0 &&
      this.busySockets.size === 0 &&
      this.idleSockets.length === 0 &&
      this.creating === 0 &&
      this.queue.size === 0
    )
  }

  /**
   * @param {any} agent
   * @param {Options} options a request's
   * @returns {number} the id of the profile to connect with
   */
  profile(agent, options) {
    const values = this.#profileValues
    let same = values.length > 0
    for (let at = 0; at < PROFILE_KEYS.length; at += 1) {
      const value = pick(agent.options, options, PROFILE_KEYS[at])
      if (values[at] !== value) {
        values[at] = value
        same = false
      }
    }
    const order = firstFamily()
    const { keepAlive, keepAliveMsecs } = agent
    const [lastOrder, lastKeepAlive, lastMsecs] = this.#profileBesides
    if (lastOrder !== order || lastKeepAlive !== keepAlive || lastMsecs !== keepAliveMsecs) {
      this.#profileBesides = [order, keepAlive, keepAliveMsecs]
      same = false
    }
    if (!same) this.#profile = this.#intern(agent, options)
    return this.#profile
  }

  /**
   * profile() for plain options: the same for every request of this name until the agent changes.
   * @param {any} agent
   * @param {Options} options a request's
   */
  plainProfile(agent, options) {
    const values = this.#plainValues
    const { keepAlive, keepAliveMsecs } = agent
    const { noDelay, connectTimeout, tcpUserTimeout } = agent.options
    const order = firstFamily()
    const same =
      values[0] === keepAlive &&
      values[1] === keepAliveMsecs &&
      values[2] === noDelay &&
      values[3] === connectTimeout &&
      values[4] === order &&
      values[5] === tcpUserTimeout
    if (!same || this.#plainProfile === 0) {
      this.#plainValues = [keepAlive, keepAliveMsecs, noDelay, connectTimeout, order, tcpUserTimeout]
      this.#plainProfile = this.#intern(agent, options) + 1
    }
    return this.#plainProfile - 1
  }

  /**
   * @param {any} agent
   * @param {Options} options a request's
   */
  #intern(agent, options) {
    const { id } = this.origins
    return native.internProfile(id, this.key, this.describe(agent, options))
  }

  /** How many requests at a time its connections may carry, if they may speak HTTP/2. Proxies are asked for plain ones over HTTP/1. */
  get maxStreams() {
    return this.proxy !== undefined && this.scheme === 'http' ? undefined : this.origins.maxStreams
  }

  /**
   * How to connect.
   * @param {any} agent
   * @param {Options} options a request's
   * @returns {import('../bridge/native.js').NativeProfile}
   */
  describe(agent, options) {
    const profile = { ...profileOf(agent, options), maxStreams: this.maxStreams, pingAfterMs: this.origins.pingAfterMs }
    if (this.proxy === undefined) return profile
    const stays = agent.keepAlive || Number.isFinite(agent.maxSockets)
    return { ...profile, proxy: this.proxy.describe(this.scheme, stays, (...given) => settings().secureOf(...given)) }
  }

  /**
   * What `req.socket` will be.
   * @param {Connection} connection
   * @param {Options} options
   */
  createSocket(connection, options) {
    const socket = /** @type {any} */ (new EngineSocket(connection, options))
    if (this.maxStreams !== undefined) socket.alpnProtocol = H2C
    return socket
  }

  /**
   * A request's connection is being opened.
   * @param {Exchange} _exchange
   */
  onDial(_exchange) {}

  /**
   * A connection could not be opened: whether the runtime is to try.
   * @param {boolean} _isLikely
   */
  handsOver(_isLikely) {
    return false
  }

  /**
   * A request's connection could not be opened, but the runtime may have one. False: it has none.
   * @param {import('../client-request/exchange.js').ClientExchange} _exchange nothing of it was written
   * @param {boolean} _isLikely
   */
  takeOver(_exchange, _isLikely) {
    return false
  }

  /** A request has failed because its server wanted what only the runtime's own TLS has. */
  noteRenegotiation() {}

  /**
   * Counts an error that the engine has left to be counted, or not, by whoever hears of it.
   * @param {Error & { code?: string }} error
   */
  noteError({ code }) {
    native.note(this.origins.id, this.key, false, String(code))
  }

  /**
   * One of the runtime's own sockets serves it.
   * @param {Socket} _socket
   * @param {string | undefined} _reason why
   */
  onSocket(_socket, _reason) {}

  /** Something else than the options has changed how to connect. */
  forgetProfiles() {
    this.#profileValues = []
    this.#plainProfile = 0
  }

  /**
   * @param {Exchange} exchange
   * @returns {import('../common/line.js').Place<Exchange>} for dequeue()
   */
  enqueue(exchange) {
    this.origins.shown.staleQueues.add(this)
    return this.queue.add(exchange)
  }

  /** @param {import('../common/line.js').Place<Exchange>} place */
  dequeue(place) {
    this.origins.shown.staleQueues.add(this)
    this.queue.remove(place)
  }

  /** @param {Connection} connection */
  add(connection) {
    this.connections.add(connection)
    this.stale = true
  }

  /** @param {Connection} connection */
  remove(connection) {
    this.connections.delete(connection)
    this.stale = true
    this.origins.forget(this)
    if (this.origins.onQuiet !== null) this.origins.noteQuiet()
  }
}

module.exports = { Origin }
