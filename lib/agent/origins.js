'use strict'

// One agent's side of the pool: its origins (one per getName()), and behind each the connections and real sockets that
// `agent.sockets`, `agent.freeSockets` and `agent.totalSocketCount` show.
//
// The engine owns the state of connections. What an agent shows is made from it when somebody looks: a request costs
// nothing here. The shown objects stay the same ones, and the runtime's createSocket() may push real sockets into them.

const { nextTick } = require('../runtime/captured.js')
const { RuntimeAgent } = require('../runtime/genuine.js')
const native = require('../bridge/native.js')
const { unjudged } = require('../common/addresses.js')
const {
  LASTING,
  limitsDiffer,
  limitsOf,
  LIVE,
  maxStreams,
  pingAfter,
  milliseconds,
  PROFILE_KEYS,
  patienceOf,
  pick,
  profileOf,
  validate,
} = require('../common/options.js')
const { kProxy, proxyFor } = require('../common/proxy-option.js')
const { firstFamily } = require('../runtime/probes.js')
const { invalidValue } = require('../common/errors.js')
const { threadPort } = require('../bridge/port.js')
const { rememberNames } = require('./names.js')
const { SocketView } = require('../socket/socket.js')
const { secureOf } = require('../tls/settings.js')
const { noteAgent } = require('../common/warnings.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {Record<string, any>} Options */

const runtimeGetName = RuntimeAgent.prototype.getName

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
  /** Who waits, in order of arrival: any of them may give up at any time, at the same small cost. @type {Set<Exchange>} */
  queue = new Set()
  /** Whether its idle connections may become other origins', or other agents'. */
  lends
  /** What its connections go through. @type {ReturnType<typeof proxyFor>} */
  proxy
  /** Whether the shown arrays are out of date. */
  stale = true
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
   * @param {string} identity what else than the name tells its connections from others
   * @param {string} label what it is called where names are reported: those of https hold keys
   */
  constructor(origins, name, options, identity = name, label = name) {
    this.origins = origins
    this.name = name
    this.label = label
    this.options = options
    this.proxy = proxyFor(origins.agent, options)
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
    if (proxy === undefined) return ''
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

  /**
   * How to connect.
   * @param {any} agent
   * @param {Options} options a request's
   * @returns {import('../bridge/native.js').NativeProfile}
   */
  describe(agent, options) {
    const profile = profileOf(agent, options)
    if (this.proxy === undefined) return profile
    const stays = agent.keepAlive || Number.isFinite(agent.maxSockets)
    return { ...profile, proxy: this.proxy.describe(this.scheme === 'http', stays, secureOf) }
  }

  /**
   * What `req.socket` will be.
   * @param {Connection} connection
   * @param {Options} options
   */
  createView(connection, options) {
    return new SocketView(connection, options)
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

  /** @param {Exchange} exchange */
  enqueue(exchange) {
    this.queue.add(exchange)
    this.origins.staleQueues.add(this)
  }

  /** @param {Exchange} exchange */
  dequeue(exchange) {
    this.queue.delete(exchange)
    this.origins.staleQueues.add(this)
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

/** @param {Options} options an agent's */
function seenOf(options) {
  return Object.fromEntries(LIVE.map((name) => [name, options[name]]))
}

/** Of an agent that has had no request: whatever it has was not looked at since its construction. */
const NONE_SEEN = seenOf({})

/** Origins that are kept although they hold nothing, for their counters. */
const MOST_EMPTY = 256

/** Functions that say what agents connect to, by number. @type {WeakMap<Function, string>} */
const judgeNumbers = new WeakMap()
let judges = 0

/**
 * An option's value as text can tell it: connections to what a function has said are for agents that ask the same one.
 * @param {unknown} value
 */
function told(value) {
  if (typeof value !== 'function') return value
  const judge = unjudged(value)
  const known = judgeNumbers.get(judge)
  if (known !== undefined) return known
  judges += 1
  // Connections are shared between threads, functions are not.
  const number = `${threadPort().id}.${judges}`
  judgeNumbers.set(judge, number)
  return number
}

/** @param {Origins} origins */
function tellQuiet(origins) {
  if (origins.onQuiet !== null && origins.isQuiet) origins.onQuiet()
}

class Origins {
  /** Shown as `agent.sockets` and `agent.freeSockets`. @type {Record<string, any[]>} */
  #sockets = Object.create(null)
  /** @type {Record<string, any[]>} */
  #freeSockets = Object.create(null)
  /** @type {Map<string, Origin>} */
  #byName = new Map()
  /** @type {Map<number, Origin>} */
  #byKey = new Map()
  /** @type {import('../bridge/native.js').NativeLimits} */
  #limits

  #sweepAt = MOST_EMPTY
  /** What the agent was constructed with. */
  #proxy
  /** Options that are ours, as they were at the last request. @type {Record<string, any>} */
  #seen = NONE_SEEN

  /** Called when no request is under way or waiting, while somebody wants to know. @type {(() => void) | null} */
  onQuiet = null
  /** Requests so far. */
  requests = 0
  /** Whose queues have changed since somebody looked at `agent.requests`. @type {Set<Origin>} */
  staleQueues = new Set()
  /** What fast requests were made from last, by their paths. @type {Map<string, import('../fast-request/template.js').Template>} */
  templates = new Map()

  /** Whether requests may be sent again. */
  retries
  /** How long requests wait for their peer; null: for ever. @type {{ headersMs: number, bodyMs: number } | null} */
  patience = null
  /** How long a request may wait for a connection, in ms; 0: for ever. */
  queueTimeoutMs

  /** Why requests fell back to the runtime's sockets, and how often. @type {Map<string, number>} */
  foreignReasons = new Map()

  /** @param {any} agent */
  constructor(agent) {
    this.port = threadPort()
    this.agent = agent
    this.isShared = agent.options.shared === true
    this.maxStreams = maxStreams(agent.options)
    this.#proxy = agent[kProxy]
    this.pingAfterMs = pingAfter(agent.options)
    this.#read(agent.options)
    this.#limits = limitsOf(agent)
    this.id = this.port.addAgent(this, this.#limits)
    rememberNames(this.id, agent.options.dns)
    noteAgent(this)
  }

  /** @param {Options} options */
  #read({ bodyTimeout, headersTimeout, queueTimeout, retry }) {
    this.retries = retry !== false
    this.patience = patienceOf(headersTimeout, bodyTimeout)
    this.queueTimeoutMs = milliseconds(queueTimeout)
  }

  /** Heeds options that were changed on the agent. Those that make no sense throw, as at construction. */
  syncOptions() {
    const { options } = this.agent
    const seen = this.#seen
    // Names in place of a loop: every request does this.
    if (
      options.headersTimeout === seen.headersTimeout &&
      options.bodyTimeout === seen.bodyTimeout &&
      options.connectTimeout === seen.connectTimeout &&
      options.queueTimeout === seen.queueTimeout &&
      options.tcpUserTimeout === seen.tcpUserTimeout &&
      options.freeSocketTimeout === seen.freeSocketTimeout &&
      options.socketActiveTTL === seen.socketActiveTTL &&
      options.maxRequestsPerSocket === seen.maxRequestsPerSocket &&
      options.maxPending === seen.maxPending &&
      options.retry === seen.retry &&
      options.proxy === this.#proxy
    )
      return
    if (options.proxy !== this.#proxy) throw invalidValue('proxy', '…', 'is heeded by the constructor alone')
    validate(options)
    this.#seen = seenOf(options)
    this.#read(options)
    this.#setLimits()
  }

  /** Tells the engine about limits that were changed on the agent. */
  syncLimits() {
    if (limitsDiffer(this.#limits, this.agent)) this.#setLimits()
  }

  #setLimits() {
    this.#limits = limitsOf(this.agent)
    native.setLimits(this.id, this.#limits)
    this.port.drainSoon()
  }

  /** @param {string} name */
  get(name) {
    return this.#byName.get(name)
  }

  /**
   * @param {string} name
   * @param {Options} options
   * @param {Origin} [origin]
   */
  add(name, options, origin = this.#make(name, options)) {
    if (this.#byName.size >= this.#sweepAt) this.#sweep()
    if (origin.key === 0) origin.open()
    this.#byName.set(name, origin)
    this.#byKey.set(origin.key, origin)
    return origin
  }

  /**
   * @param {string} name
   * @param {Options} options
   */
  #make(name, options) {
    return new Origin(this, name, options, this.identity(name, this.agent.getName === runtimeGetName))
  }

  /**
   * What must be equal for connections to be interchangeable: between agents also what each of them has set once for all.
   * @param {string} name
   * @param {boolean} isUsual whether it is what the runtime's agents would say: others mean something to their agent alone
   */
  identity(name, isUsual) {
    if (!this.isShared) return name
    if (!isUsual) return `${name}\0agent ${this.id}`
    const { keepAliveMsecs, options } = this.agent
    return `${name}\0${JSON.stringify([keepAliveMsecs, ...LASTING.map((key) => told(options[key]))])}`
  }

  /**
   * Nothing of it is shown any more once it is empty. Its counters stay, for a while.
   * @param {Origin} origin
   */
  forget(origin) {
    if (this.onQuiet !== null) this.noteQuiet()
    if (!origin.isEmpty || this.#byName.get(origin.name) !== origin) return
    delete this.#sockets[origin.name]
    delete this.#freeSockets[origin.name]
  }

  /** Lets go what is empty: a process that meets endless hosts must not grow. */
  #sweep() {
    // Looked at, no queue is out of date, and none of those that go is kept for that.
    void this.agent.requests
    for (const origin of this.#byName.values()) {
      if (!origin.isEmpty) continue
      this.#byName.delete(origin.name)
      this.#byKey.delete(origin.key)
      origin.close()
    }
    this.#sweepAt = Math.max(MOST_EMPTY, 2 * this.#byName.size)
  }

  get isQuiet() {
    for (const { busySockets, connections, creating, queue } of this.#byName.values()) {
      if (queue.size > 0 || creating > 0 || busySockets.size > 0) return false
      for (const { exchange, view } of connections) if (exchange !== null && !view.destroyed) return false
    }
    return true
  }

  /** Something has ended: perhaps the last thing that somebody waits for. */
  noteQuiet() {
    nextTick(tellQuiet, this)
  }

  values() {
    return this.#byName.values()
  }

  get sockets() {
    this.#show()
    return this.#sockets
  }

  get freeSockets() {
    this.#show()
    return this.#freeSockets
  }

  /**
   * Brings what an agent shows of the requests that wait up to date.
   * @param {Record<string, any[]>} shown
   */
  showWaiting(shown) {
    for (const { name, queue } of this.staleQueues) {
      show(
        shown,
        name,
        Array.from(queue, ({ req }) => req),
        false,
      )
    }
    this.staleQueues.clear()
    return shown
  }

  get count() {
    this.#noteClosed()
    let count = 0
    for (const origin of this.#byName.values()) {
      count += origin.busySockets.size + origin.idleSockets.length
      for (const connection of origin.connections) if (!connection.isGone) count += 1
    }
    return count
  }

  /**
   * A waiter needs the slot of an idle real socket of this key.
   * @param {number} key
   */
  onEvict(key) {
    this.#byKey.get(key)?.idleSockets[0]?.destroy()
  }

  /** Connections that closed while this thread was busy are not free any more, though their records wait. */
  #noteClosed() {
    const closed = native.closedIdle(this.port.id)
    if (closed === null) return
    for (const id of closed) this.port.connections.get(id)?.noteClosed()
  }

  #show() {
    this.#noteClosed()
    for (const origin of this.#byName.values()) {
      if (!origin.stale) continue
      origin.stale = false
      const busy = []
      const idle = []
      for (const connection of origin.connections) {
        if (connection.isIdle) idle.push(connection)
        else if (!connection.isGone) busy.push(connection.view)
      }
      idle.sort((one, other) => one.idleSince - other.idleSince)
      const free = idle.map((connection) => connection.view)
      const sockets = [...origin.busySockets, ...busy]
      if (origin.creating > 0) sockets.push(...unknownSockets(this.#sockets[origin.name], sockets))
      show(this.#sockets, origin.name, sockets, origin.creating > 0)
      show(this.#freeSockets, origin.name, [...origin.idleSockets, ...free], false)
    }
  }
}

/**
 * Real sockets that the runtime's createSocket() has just pushed: it looks at them before it delivers them.
 * @param {any[] | undefined} shown
 * @param {any[]} known
 */
function unknownSockets(shown, known) {
  return (shown ?? []).filter((socket) => !(socket instanceof SocketView) && !known.includes(socket))
}

/**
 * @param {Record<string, any[]>} shown
 * @param {string} name
 * @param {any[]} sockets
 * @param {boolean} keepEmpty whether createSocket() is about to push into it
 */
function show(shown, name, sockets, keepEmpty) {
  if (sockets.length === 0 && !(keepEmpty && shown[name] !== undefined)) {
    delete shown[name]
    return
  }
  shown[name] ??= []
  // Not as arguments: there may be too many of them.
  const list = shown[name]
  for (let at = 0; at < sockets.length; at += 1) list[at] = sockets[at]
  list.length = sockets.length
}

/** Where an agent keeps its Origins, once it has had a request. */
const kOrigins = Symbol('keepwire.origins')

/**
 * @param {any} agent
 * @returns {Origins}
 */
function originsOf(agent) {
  agent[kOrigins] ??= new Origins(agent)
  return agent[kOrigins]
}

module.exports = { kOrigins, Origin, Origins, originsOf }
