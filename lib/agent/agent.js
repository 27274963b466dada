'use strict'

// keepwire's http.Agent: the runtime's, with requests carried by the engine.
//
// It is a function like the runtime's, so that it works without `new`, and lets the runtime's constructor validate its
// options and set its properties. What an agent shows of its connections is made by shown-sockets.js when somebody looks.

const { nextTick } = require('../runtime/captured.js')
const { exchangeFor } = require('../client-request/exchange.js')
const { fallBack } = require('../client-request/fallback.js')
const { asksForUpgrade, fallbackReason } = require('../client-request/fallback-reasons.js')
const { onFree, removeSocket } = require('../client-request/fallback-sockets.js')
const { kStandsFor, RuntimeAgent } = require('../runtime/genuine.js')
const { giveBack, lease } = require('../exchange/lease.js')
const native = require('../bridge/native.js')
const { merge, nameOf, plainName } = require('../common/options/merge.js')
const { checkTimeout, validate } = require('../common/options/validate.js')
const { kOrigins, originsOf } = require('./origins.js')
const { settlePending, startsInPlace } = require('../exchange/batch.js')
const { limitResponse, mostOf } = require('../exchange/response-size.js')
const { AgentProxy } = require('../common/proxies/agent-proxy.js')
const { keepProxy, kProxy, proxyFor, suffixOf } = require('../common/proxies/option.js')
const { ProxyEnv } = require('../common/proxies/rules.js')
const { awaitProxy } = require('./proxy-wait.js')
const { kFind, kReason } = require('./symbols.js')
const { noteCreation } = require('../common/warnings.js')
const { lazy } = require('../runtime/lazy.js')
const { isNode } = require('../runtime/probes.js')
const { connectionReset, invalidValue } = require('../common/errors.js')

/** @typedef {import('../client-request/exchange.js').ClientExchange} ClientExchange */

const lifecycle = lazy(() => require('./lifecycle.js'))
const stats = lazy(() => require('./stats.js'))
const settings = lazy(() => require('../tls/settings.js'))

const runtimeGetName = RuntimeAgent.prototype.getName

/**
 * Makes an agent's constructor, which extends the runtime's.
 * @param {any} Runtime
 * @param {(agent: any) => void} begin what is to be done with one that the runtime's has constructed
 * @returns {any}
 */
function agentOver(Runtime, begin) {
  /**
   * @this {any}
   * @param {Record<string, any>} [options]
   */
  function Agent(options) {
    if (!(this instanceof Agent)) {
      // After install(): a subclass of the runtime's agent, made before, calls the constructor by its name.
      if (this instanceof Runtime) return Runtime.call(this, options)
      return new /** @type {any} */ (Agent)(options)
    }
    validate(options)
    const proxyEnv = options?.proxyEnv
    if (isNode || proxyEnv === undefined) {
      Runtime.call(this, options)
    } else {
      // It means to us what it means to Node; Deno's agents have ways of their own with it.
      Runtime.call(this, { ...options, proxyEnv: undefined })
      Object.assign(/** @type {{ options?: object }} */ (this).options ?? {}, { proxyEnv })
    }
    begin(this)
  }
  Object.setPrototypeOf(Agent.prototype, Runtime.prototype)
  Object.setPrototypeOf(Agent, Runtime)
  Object.defineProperty(Agent, kStandsFor, { value: () => Runtime })
  return Agent
}

/**
 * Defined, since the runtime's prototype may be frozen: what is read-only there can't be assigned here.
 * @param {any} Agent
 * @param {Record<PropertyKey, (this: any, ...values: any[]) => unknown>} methods
 */
function overrideIn({ prototype }, methods) {
  for (const name of Reflect.ownKeys(methods)) {
    const value = /** @type {any} */ (methods)[name]
    Object.defineProperty(prototype, name, { value, writable: true, enumerable: true, configurable: true })
  }
}

const Agent = agentOver(RuntimeAgent, (agent) => {
  if (agent.options.http2 === true) throw invalidValue('http2', true, 'needs TLS: http agents have h2c')
  initialize(agent)
})

/** @param {any} agent constructed as the runtime's */
function initialize(agent) {
  // The same, in the form that engines look up fastest: every request asks it for options that it does not have.
  agent.options = Object.setPrototypeOf(Object.assign({}, agent.options), null)
  keepProxy(agent)
  const rule = agent[kProxy] instanceof ProxyEnv ? agent[kProxy].proxy : agent[kProxy]
  if (rule instanceof AgentProxy) rule.secure((...given) => settings().secureOf(...given))
  // The runtime's listener would pool what the engine pools.
  agent.removeAllListeners('free')
  agent.on('free', (/** @type {any} */ socket, /** @type {any} */ of) => onFree(agent, originsOf(agent), socket, of))
  const { requests } = agent
  Object.defineProperties(agent, { ...shownProperties, requests: shownRequests(requests) })
  Object.defineProperty(agent, kOrigins, { value: undefined, writable: true })
  noteCreation(agent)
}

/**
 * An agent that has had no request shows the object that the runtime gave it.
 * @param {Record<string, any[]>} requests
 */
function shownRequests(requests) {
  return {
    /** @this {any} */
    get() {
      settlePending(this)
      return this[kOrigins] === undefined ? requests : this[kOrigins].shown.waiting(requests)
    },
    set() {},
    enumerable: true,
    configurable: true,
  }
}

/** What an agent shows; the runtime's code may assign to these, to no effect. @type {PropertyDescriptorMap} */
const shownProperties = {
  sockets: shown(({ shown }) => shown.sockets),
  freeSockets: shown(({ shown }) => shown.freeSockets),
  totalSocketCount: shown((origins) => origins.count),
}

/** @param {(origins: import('./origins.js').Origins) => unknown} look */
function shown(look) {
  return {
    /** @this {any} */
    get() {
      settlePending(this)
      return look(originsOf(this))
    },
    set() {},
    enumerable: true,
    configurable: true,
  }
}

/**
 * Takes a request of the runtime's http.request(), as the runtime's agents do.
 * @this {any}
 * @param {any} req
 * @param {any} options what to connect to; the legacy form is (req, host, port, localAddress)
 * @param {number} [port]
 * @param {string} [localAddress]
 */
function addRequest(req, options, port, localAddress) {
  const wanted = typeof options === 'string' ? { __proto__: null, host: options, port, localAddress } : options
  if (wanted.maxResponseSize !== undefined) limitResponse(req, mostOf(wanted.maxResponseSize))
  const proxy = proxyFor(this, wanted, () => urlOf(this, req, wanted))
  if (proxy instanceof Promise)
    awaitProxy(req, this.options.timeout, proxy, (chosen) => take(this, req, wanted, chosen))
  else take(this, req, wanted, proxy)
}

/**
 * What a request asks for, for whoever is to say what it goes through.
 * @param {any} agent
 * @param {any} req
 * @param {Record<string, any>} wanted
 */
function urlOf(agent, { path }, wanted) {
  const { host, port } = { ...wanted, ...agent.options }
  const name = String(host || 'localhost')
  const rest = typeof path === 'string' && path.startsWith('/') ? path : '/'
  return `${agent.protocol}//${name.includes(':') ? `[${name}]` : name}:${port || agent.defaultPort}${rest}`
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Record<string, any>} wanted
 * @param {AgentProxy | undefined} proxy
 */
function take(agent, req, wanted, proxy) {
  settlePending(agent, req)
  const { origin, plain, reason } = route(agent, req, wanted, proxy)
  if (reason !== undefined) {
    fallBack(agent, req, wanted, origin, reason)
    return
  }
  const exchange = exchangeFor(req, agent, origin, wanted)
  exchange.isPlain = plain !== undefined
  lease(exchange, false, startSoon)
}

/**
 * Where a request goes, and why only the runtime can carry it, if so.
 * @param {any} agent
 * @param {any} req
 * @param {Record<string, any>} wanted what to connect to
 * @param {AgentProxy | undefined} proxy what it goes through
 */
function route(agent, req, wanted, proxy) {
  checkTimeout(agent.options)
  const origins = originsOf(agent)
  origins.requests += 1
  origins.syncOptions()
  origins.syncLimits()
  const plain = plainName(agent.options, wanted)
  if (plain === undefined) refuseOwnJudge(agent, wanted)
  /** @type {import('./origin.js').Origin} */
  const origin = agent[kFind](origins, req, wanted, plain, proxy)
  /** @type {string | undefined} */
  const reason = agent[kReason](origin, req, wanted, plain)
  return { origin, plain, reason }
}

/**
 * Requests of an agent use each other's connections: one of them can't have addresses of its own refused.
 * @param {any} agent
 * @param {Record<string, any>} wanted
 */
function refuseOwnJudge({ options }, { allowAddress }) {
  if (allowAddress === undefined || allowAddress === options.allowAddress) return
  throw invalidValue('allowAddress', allowAddress, 'is an option of agents, not of requests')
}

/**
 * An agent's origin for a request.
 * @this {any}
 * @param {import('./origins.js').Origins} origins
 * @param {any} _req
 * @param {Record<string, any>} wanted what to connect to
 * @param {string | undefined} plain what plainName() says
 * @param {AgentProxy | undefined} proxy what it goes through
 */
function find(origins, _req, wanted, plain, proxy) {
  const usual = this.getName === runtimeGetName
  const name = usual ? (plain ?? nameOf(this.options, wanted)) : this.getName(merge(this.options, wanted))
  const suffix = suffixOf(this, wanted, proxy)
  return origins.get(name + suffix) ?? origins.add(name, merge(this.options, wanted), proxy, suffix)
}

/**
 * Why only the runtime can carry a request.
 * @this {any}
 * @param {import('./origin.js').Origin} origin
 * @param {any} req
 * @param {Record<string, any>} wanted what to connect to
 * @param {string | undefined} plain what plainName() says
 */
function reason(origin, req, wanted, plain) {
  return fallbackReason(this, req, wanted, plain !== undefined, origin.proxy)
}

/** @param {ClientExchange} exchange */
function startSoon(exchange) {
  if (!startsInPlace(exchange, start)) nextTick(start, exchange)
}

/** @param {ClientExchange} exchange */
function start(exchange) {
  const { connection, req } = exchange
  // Its connection failed in the meantime, and the runtime has taken it over.
  if (connection === null) return
  if (req.destroyed) giveBack(exchange)
  else if (asksForUpgrade(req)) reroute(exchange)
  else exchange.start()
}

/**
 * The Upgrade header came after the request was made: its connection goes back unused.
 * @param {ClientExchange} exchange
 */
function reroute(exchange) {
  const { agent, connection, options, origin, req } = exchange
  if (connection !== null) {
    connection.socket._httpMessage = null
    connection.socket.destroy()
  }
  req.reusedSocket = false
  fallBack(agent, req, options, origin, 'upgrade')
}

/**
 * Closes every connection; requests under way and waiting fail with ECONNRESET. The agent stays usable.
 * @this {any}
 */
function destroy() {
  settlePending(this)
  if (this[kOrigins] === undefined) return
  /** @type {import('./origins.js').Origins} */
  const origins = this[kOrigins]
  for (const origin of [...origins.values()]) {
    for (const exchange of [...origin.queue]) exchange.req.destroy(connectionReset('socket hang up'))
  }
  // First, so that they are closed for this reason and not as by their user.
  native.closeIdle(origins.id)
  for (const origin of [...origins.values()]) {
    for (const connection of [...origin.connections]) connection.socket.destroy()
    for (const socket of [...origin.idleSockets, ...origin.busySockets]) socket.destroy()
  }
  origins.port.submission.flush()
  native.closeIdle(origins.id)
}

/** What our agents have beyond the runtime's. @type {PropertyDescriptorMap & ThisType<any>} */
const additions = {
  /** Opens connections before they are needed. */
  preconnect: method(function preconnectAgent(origin, count) {
    return lifecycle().preconnect(this, originsOf(this), origin, count)
  }),
  /** Waits for the requests there are, then closes everything. */
  close: method(function closeAgent(options) {
    settlePending(this)
    return lifecycle().close(this, this[kOrigins], options)
  }),
  /** What its origins did so far. */
  stats: method(function statsOfAgent() {
    settlePending(this)
    return stats().statsOf(this[kOrigins])
  }),
}
// Runtimes without these symbols have no `using` either.
if (Symbol.dispose) additions[Symbol.dispose] = method(dispose)
if (Symbol.asyncDispose) additions[Symbol.asyncDispose] = method(disposeSoon)

/** @this {any} */
function dispose() {
  this.destroy()
}

/** @this {any} */
function disposeSoon() {
  return this.close()
}

/** @param {(this: any, ...values: any[]) => unknown} value */
function method(value) {
  return { value, writable: true, enumerable: false, configurable: true }
}

overrideIn(Agent, { addRequest, removeSocket, destroy, [kFind]: find, [kReason]: reason })
Object.defineProperties(Agent.prototype, additions)

module.exports = { additions, Agent, agentOver, initialize, originsOf, overrideIn, route, startSoon }
