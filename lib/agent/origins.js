'use strict'

// One agent's side of the pool: its origins (one per getName()), its limits, and the options that it heeds when they are
// changed on the agent.

const { nextTick } = require('../runtime/captured.js')
const { RuntimeAgent } = require('../runtime/genuine.js')
const { lazy } = require('../runtime/lazy.js')
const native = require('../bridge/native.js')
const {
  deadlinesOf,
  limitsDiffer,
  limitsOf,
  maxStreams,
  milliseconds,
  pingAfter,
} = require('../common/options/limits.js')
const { pick } = require('../common/options/merge.js')
const { LASTING, LIVE } = require('../common/options/table.js')
const { validate } = require('../common/options/validate.js')
const { breakerOf, hostLimits } = require('../common/options/policy.js')
const { kProxy } = require('../common/proxies/option.js')
const { ProxyEnv } = require('../common/proxies/rules.js')
const { invalidValue } = require('../common/errors.js')
const { threadPort } = require('../bridge/port.js')
const { told } = require('./identity.js')
const { nameSettings } = require('./names.js')
const { Origin } = require('./origin.js')
const { ShownSockets } = require('./shown-sockets.js')
const { noteAgent } = require('../common/warnings.js')

/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {Record<string, any>} Options */

const gating = lazy(() => require('../exchange/gate.js'))

const runtimeGetName = RuntimeAgent.prototype.getName

/** @param {Options} options an agent's */
function seenOf(options) {
  return Object.fromEntries(LIVE.map((name) => [name, options[name]]))
}

/** Of an agent that has had no request: whatever it has was not looked at since its construction. */
const NONE_SEEN = seenOf({})

/** Origins that are kept although they hold nothing, for their counters. */
const MOST_EMPTY = 256

/** @param {Origins} origins */
function tellQuiet(origins) {
  if (origins.onQuiet !== null && origins.isQuiet) origins.onQuiet()
}

class Origins {
  /** What the agent shows of them. */
  shown
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
  /** What fast requests were made from last, by their paths. @type {Map<string, import('../fast-request/template.js').Template>} */
  templates = new Map()

  /** Whether requests may be sent again. */
  retries
  /** Whether the thread that asks may carry requests itself while few are under way. */
  inLoop
  /** How long requests wait for their peer; null: for ever. @type {{ headersMs: number, bodyMs: number } | null} */
  deadlines = null
  /** How long a request may wait for a connection, in ms; 0: for ever. */
  queueTimeoutMs

  /** By host: what limits requests to it. @type {Map<string, import('../exchange/gate.js').Gate>} */
  gates = new Map()

  /** Why requests fell back to the runtime's sockets, and how often. @type {Map<string, number>} */
  fallbackReasons = new Map()

  /** @param {any} agent */
  constructor(agent) {
    this.port = threadPort()
    this.agent = agent
    this.shown = new ShownSockets(this)
    this.isShared = agent.options.shared === true
    this.maxStreams = maxStreams(agent.options)
    this.#proxy = agent[kProxy] instanceof ProxyEnv ? undefined : (agent[kProxy] ?? undefined)
    this.pingAfterMs = pingAfter(agent.options)
    this.#read(agent.options)
    this.#limits = limitsOf(agent)
    this.id = this.port.addAgent(this, this.#limits)
    nameSettings(this.id, agent.options)
    noteAgent(this)
  }

  /**
   * What an origin's requests have to pass.
   * @param {Options} options its own
   */
  gateOf(options) {
    const own = this.agent.options
    if (own.policy === undefined && !own.breaker) return null
    const host = String(pick(own, options, 'socketPath') || pick(own, options, 'host') || 'localhost').toLowerCase()
    let gate = this.gates.get(host)
    if (gate === undefined) {
      gate = new (gating().Gate)(host, hostLimits(own.policy?.(host)), breakerOf(own.breaker))
      this.gates.set(host, gate)
    }
    return gate
  }

  /** Requests that may wait for one origin. */
  get maxPending() {
    return this.#limits.maxPending
  }

  /** @param {Options} options */
  #read({ bodyTimeout, headersTimeout, io, queueTimeout, retry }) {
    this.retries = retry !== false
    this.inLoop = io !== 'thread'
    this.deadlines = deadlinesOf(headersTimeout, bodyTimeout)
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
      options.io === seen.io &&
      (options.proxy ?? undefined) === this.#proxy
    )
      return
    if ((options.proxy ?? undefined) !== this.#proxy)
      throw invalidValue('proxy', '…', 'is heeded by the constructor alone')
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
   * @param {AgentProxy | undefined} proxy what it is reached through
   * @param {string} suffix of its name, after what tells connections apart
   */
  add(name, options, proxy, suffix) {
    const identity = this.identity(name, this.agent.getName === runtimeGetName)
    return this.put(new Origin(this, name, options, proxy, suffix, identity))
  }

  /** @param {Origin} origin */
  put(origin) {
    if (this.#byName.size >= this.#sweepAt) this.#sweep()
    if (origin.key === 0) origin.open()
    this.#byName.set(origin.name, origin)
    this.#byKey.set(origin.key, origin)
    return origin
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
    const settings = [
      keepAliveMsecs,
      this.maxStreams ?? 0,
      this.pingAfterMs,
      ...LASTING.map((key) => told(options[key])),
    ]
    return `${name}\0${JSON.stringify(settings)}`
  }

  /**
   * Nothing of it is shown any more once it is empty. Its counters stay, for a while.
   * @param {Origin} origin
   */
  forget(origin) {
    if (this.onQuiet !== null) this.noteQuiet()
    if (!origin.isEmpty || this.#byName.get(origin.name) !== origin) return
    this.shown.forget(origin)
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
    const used = new Set(Array.from(this.#byName.values(), ({ gate }) => gate))
    for (const [host, gate] of this.gates) if (gate.isIdle && !used.has(gate)) this.gates.delete(host)
    this.#sweepAt = Math.max(MOST_EMPTY, 2 * this.#byName.size)
  }

  get isQuiet() {
    for (const { busySockets, connections, creating, queue } of this.#byName.values()) {
      if (queue.size > 0 || creating > 0 || busySockets.size > 0) return false
      for (const { exchange, socket } of connections) if (exchange !== null && !socket.destroyed) return false
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

  get count() {
    this.noteClosed()
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
  noteClosed() {
    const closed = native.closedIdle(this.port.id)
    if (closed === null) return
    for (const id of closed) this.port.connections.get(id)?.noteClosed()
  }
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

module.exports = { kOrigins, Origins, originsOf }
