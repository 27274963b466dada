'use strict'

// Falling back to the runtime's sockets, for requests that the engine cannot carry verbatim: a real socket and the runtime's parser,
// within the same limits and shown in the same `sockets`, `freeSockets` and `requests`.
//
// The engine's pool counts a slot for each real socket from before it is created until it is closed or taken away from
// the agent; a slot is released exactly once.

const http = require('node:http')
const net = require('node:net')

const { now } = require('../runtime/captured.js')
const { exchangeFor } = require('./exchange.js')
const {
  connectGeneration,
  isGenuine,
  observes,
  onlyObserves,
  replacedConnecting,
  RuntimeAgent,
  runtimeSecureAgent,
} = require('../runtime/genuine.js')
const { lease } = require('../exchange/lease.js')
const native = require('../bridge/native.js')
const { judgedLookup, refusalOf, refusalOfPath } = require('../common/addresses.js')
const { CONNECTION, namesOf } = require('../common/option-table.js')
const { kProxy, notProxied } = require('../common/proxies/option.js')
const { ProxyEnv } = require('../common/proxies/rules.js')
const { isUnusual, merge, pick } = require('../common/options.js')
const { lazy } = require('../runtime/lazy.js')
const { isSandboxed, mayBeForbidden } = require('../runtime/permission.js')
const { heedsProxyEnv, ignoresAgents, isWindows, parsesLeniently } = require('../runtime/probes.js')
const { before, dns, https } = require('../runtime/late.js')
const { EngineSocket } = require('../socket/socket.js')
const { remove } = require('../exchange/queue.js')
const { warnOfFallback } = require('../common/warnings.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../agent/origins.js').Origins} Origins */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {Record<string, any>} Options */

const deadlines = lazy(() => require('./fallback-deadlines.js'))

/** The methods of the runtime's agents: on some runtimes those of https differ. */
const own = methodsOf(RuntimeAgent.prototype, 'agentConnection')
const ownSecure = lazy(() => methodsOf(runtimeSecureAgent().prototype, 'secureAgentConnection'))
if (before.https !== undefined) ownSecure()

/**
 * @param {any} prototype
 * @param {'agentConnection' | 'secureAgentConnection'} connection what genuine.js calls its way to connect
 */
function methodsOf({ createConnection, createSocket, keepSocketAlive, reuseSocket }, connection) {
  return {
    createConnection: unlessReplaced(connection, createConnection),
    createSocket: unlessReplaced('agentSocket', createSocket),
    keepSocketAlive,
    reuseSocket,
  }
}

/**
 * What somebody has put in a method's place before this package was loaded, a mock, is no method of the runtime's: null.
 * @param {Parameters<typeof isGenuine>[0]} name
 * @param {unknown} method
 */
function unlessReplaced(name, method) {
  return ignoresAgents || method === undefined || onlyObserves(name, method) ? method : null
}

/** Why requests go that way while somebody else connects the runtime's sockets. */
const SOCKETS_REPLACED = 'sockets-replaced'

/** Why those over TLS do while somebody else says whom the runtime's TLS trusts. */
const CONTEXT_REPLACED = 'tls-context'

/** Options of net.connect that only a real socket can honour. */
const SOCKET_OPTIONS = namesOf(CONNECTION, ({ fallback }) => fallback)

/** An Upgrade line in a head that is serialized already. */
const UPGRADE_LINE = /\r\nupgrade[ \t]*:/i

/** Where the runtime's sandbox forbids the network, or might. */
const PERMISSION = 'permission'

/** Why requests went that way. @type {WeakMap<object, string>} */
const fallbackRequests = new WeakMap()

/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {[reason: string, applies: (agent: any, req: any, options: Options, proxy?: AgentProxy) => unknown]} Reason */

/** @type {Reason[]} */
const SANDBOX_REASONS = isSandboxed ? [[PERMISSION, isForbidden]] : []

/** Every reason to fall back to the runtime's sockets. @type {Reason[]} */
const REASONS = [
  ...SANDBOX_REASONS,
  // A mock is at work there, and must get the request whatever it is.
  [SOCKETS_REPLACED, () => replacedConnecting()],
  ['connect', (_agent, req) => req.method === 'CONNECT'],
  ['upgrade', (_agent, req) => asksForUpgrade(req)],
  // The runtime refuses most of them.
  ['host-header', (_agent, req) => typeof (req.getHeader('host') ?? '') !== 'string'],
  ['lenient-parser', (_agent, req) => req.insecureHTTPParser ?? parsesLeniently],
  ['http-validation', (_agent, req) => req.httpValidation !== undefined && req.httpValidation !== 'strict'],
  ['create-connection', (agent) => isReplaced('createConnection', agent.createConnection, connectionOf(agent))],
  ['create-socket', (agent) => isReplaced('createSocket', agent.createSocket, 'agentSocket')],
  ['keep-socket-alive', (agent) => isReplaced('keepSocketAlive', agent.keepSocketAlive)],
  ['reuse-socket', (agent) => isReplaced('reuseSocket', agent.reuseSocket)],
  ['remove-socket', (agent) => agent.removeSocket !== removeSocket],
  // Those from here on can't apply to plain options.
  // Deno's requests have it for agents that the environment tells of a proxy, as it does ours.
  ['proxy', (agent, _req, options) => options._proxy && agent[kProxy] === undefined],
  ['socket-option', (agent, _req, options) => SOCKET_OPTIONS.some((key) => pick(agent.options, options, key))],
  ['named-pipe', (agent, _req, options) => isWindows && pick(agent.options, options, 'socketPath')],
  ['unusual-option', (agent, _req, options) => isUnusual(agent.options, options)],
]

const PLAIN_REASONS = REASONS.findIndex(([reason]) => reason === 'proxy')

/**
 * @param {keyof typeof own} key
 * @param {unknown} method
 * @param {Parameters<typeof isGenuine>[0]} [name] what genuine.js calls it: it may have been replaced when this package was loaded
 */
function isReplaced(key, method, name) {
  const theirs = own[key]
  if (method === theirs) return false
  const secure = ownSecure()[key]
  if (method === secure) return false
  return !observes(
    method,
    (inner) => inner === theirs || inner === secure || (name !== undefined && isGenuine(name, inner)),
  )
}

/** @param {any} agent */
function connectionOf({ protocol }) {
  return protocol === 'https:' ? 'secureAgentConnection' : 'agentConnection'
}

/**
 * @param {any} agent
 * @param {any} _req
 * @param {Options} options
 * @param {AgentProxy} [proxy]
 */
function isForbidden(agent, _req, options, proxy) {
  const { options: own } = agent
  const socketPath = pick(own, options, 'socketPath')
  if (proxy !== undefined) return mayBeForbidden(proxy.host, proxy.port)
  return mayBeForbidden(pick(own, options, 'host') || 'localhost', pick(own, options, 'port'), socketPath)
}

/** @param {any} req */
function asksForUpgrade(req) {
  if (req.getHeader('upgrade') !== undefined) return true
  // Headers given as an array, or an Expect, are serialized by the constructor.
  return req._header !== null && req._header !== undefined && req.getHeader('host') === undefined
    ? UPGRADE_LINE.test(req._header)
    : false
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Options} options as addRequest() got them
 * @param {boolean} plain whether the options say no more than host and port
 * @param {AgentProxy | undefined} proxy what the request goes through
 * @returns {string | undefined} why the engine cannot carry the request
 */
function fallbackReason(agent, req, options, plain, proxy) {
  const end = plain ? PLAIN_REASONS : REASONS.length
  for (let at = 0; at < end; at += 1) {
    if (REASONS[at][1](agent, req, options, proxy)) return REASONS[at][0]
  }
  return undefined
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Options} options as addRequest() got them
 * @param {Origin} origin
 * @param {string} reason
 * @param {number} [spentMs] of its connectTimeout, by the engine
 */
function fallBack(agent, req, options, origin, reason, spentMs = 0) {
  const { origins, proxy } = origin
  if (proxy !== undefined && !isRuntimes(agent, proxy)) {
    req.onSocket(undefined, notProxied(proxy, reason))
    return
  }
  origins.fallbackReasons.set(reason, (origins.fallbackReasons.get(reason) ?? 0) + 1)
  native.note(origins.id, origin.key, true, reason)
  if (isOfTheProcess(agent, reason)) warnOfFallback(agent, reason, replacedConnecting())
  fallbackRequests.set(req, reason)
  if (origin.gate === null) {
    if (!useIdle(agent, req, origin)) leaseSlot(exchangeFor(req, agent, origin, options), spentMs)
    return
  }
  const exchange = exchangeFor(req, agent, origin, options)
  exchange.isFallback = true
  const begin = () => {
    if (useIdle(agent, req, origin)) exchange.settle()
    else leaseSlot(exchange, spentMs)
  }
  if (origin.gate.enter(exchange, begin)) begin()
}

/**
 * @param {ClientExchange} exchange
 * @param {number} spentMs of its connectTimeout
 */
function leaseSlot(exchange, spentMs) {
  lease(exchange, true, (exchange) => {
    exchange.settle()
    create(exchange, spentMs)
  })
}

/**
 * Has an idle socket carry a request; false: there is none.
 * @param {any} agent
 * @param {any} req
 * @param {Origin} origin
 */
function useIdle(agent, req, origin) {
  const socket = takeIdle(agent, origin)
  if (socket === undefined) return false
  native.fallbackIdle(origin.origins.id, origin.key, false)
  use(agent, req, origin, socket)
  return true
}

/**
 * Whether the runtime's own sockets lead through a proxy, too: Node 24.5 and newer know environments.
 * @param {any} agent
 * @param {AgentProxy} proxy
 */
function isRuntimes(agent, proxy) {
  const rule = agent[kProxy]
  return rule instanceof ProxyEnv && rule.proxy === proxy && heedsProxyEnv()
}

/**
 * Sees to it that a socket is connected to nothing that its agent refuses.
 * @param {any} agent
 * @param {Options} options those it is made with
 * @returns {Error | undefined} why there is none to be made
 */
function judge(agent, options) {
  const { allowAddress, host = 'localhost', socketPath } = options
  if (allowAddress === undefined) return undefined
  if (socketPath) return refusalOfPath(socketPath)
  if (net.isIP(host) !== 0) return refusalOf(allowAddress, host, host)
  const lookup = judgedLookup(allowAddress, options.lookup || dns().lookup)
  options.lookup = lookup
  // The runtime's createSocket() looks there again.
  if ('lookup' in agent.options) agent.options.lookup = lookup
  return undefined
}

/**
 * Whether a request goes that way for what somebody has done to all requests of the process.
 * @param {any} agent
 * @param {string} reason
 */
function isOfTheProcess(agent, reason) {
  if (reason === SOCKETS_REPLACED || reason === CONTEXT_REPLACED) return true
  const name =
    reason === 'create-connection' ? 'createConnection' : reason === 'create-socket' ? 'createSocket' : undefined
  if (name === undefined) return false
  // Those of the runtime, and those in their place: ours after install().
  const everyones = [RuntimeAgent, runtimeSecureAgent(), http.Agent, https().Agent]
  return everyones.some(({ prototype }) => Object.hasOwn(prototype, name) && prototype[name] === agent[name])
}

/**
 * @param {any} agent
 * @param {Origin} origin
 * @returns {Socket | undefined} an idle socket that is still what it was when it became idle
 */
function takeIdle(agent, origin) {
  for (;;) {
    const socket = agent.scheduling === 'fifo' ? origin.idleSockets.shift() : origin.idleSockets.pop()
    if (socket === undefined) return undefined
    origin.stale = true
    const state = idleStates.get(socket)
    idleStates.delete(socket)
    deadlines().endIdle(socket)
    socket.removeListener('error', onIdleError)
    // One of another generation has passed by whoever connects sockets now, or belongs to whoever did then.
    const isCurrent = generations.get(socket) === connectGeneration()
    if (isCurrent && !socket.destroyed && socket.writable && socket.bytesRead === state) return socket
    socket.destroy()
  }
}

/** How sockets were connected when each of these was. @type {WeakMap<Socket, number>} */
const generations = new WeakMap()

/** How many bytes an idle socket had received: more mean an answer to no request. @type {WeakMap<Socket, number>} */
const idleStates = new WeakMap()

/** @this {Socket} */
function onIdleError() {
  this.destroy()
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Origin} origin
 * @param {Socket} socket an idle one
 */
function use(agent, req, origin, socket) {
  agent.reuseSocket(socket, req)
  origin.busySockets.add(socket)
  origin.stale = true
  assign(agent, req, socket, origin)
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Socket} socket
 * @param {Origin} origin
 */
function assign(agent, req, socket, origin) {
  deadlines().watch(agent, origin, req, socket)
  req.onSocket(socket)
  if (req.timeout !== undefined && req.timeout !== (agent.options.timeout || 0)) socket.setTimeout(req.timeout)
}

/**
 * Creates the socket that the exchange got a slot for.
 * @param {ClientExchange} exchange
 * @param {number} spentMs
 */
function create(exchange, spentMs) {
  const { agent, origin, req } = exchange
  let held = true
  let creating = true
  const created = () => {
    if (creating) origin.creating -= 1
    creating = false
  }
  const release = () => {
    created()
    if (!held) return
    held = false
    native.releaseFallback(origin.origins.id, origin.key)
    origin.origins.port.drainSoon()
  }
  let isLate = false
  /** @type {Socket | undefined} */
  let opened
  origin.creating += 1
  const opening = deadlines().awaitOpen(agent, origin, now() - spentMs, (error) => {
    isLate = true
    if (opened !== undefined) return opened.destroy(error)
    release()
    origin.origins.forget(origin)
    req.onSocket(undefined, error)
  })
  const onCreated = (/** @type {any} */ error, /** @type {any} */ socket) => {
    if (isLate) {
      // Its request has heard already that there is none.
      socket?.destroy()
      return
    }
    if (error) {
      opening?.end()
      release()
      origin.origins.forget(origin)
      // A proxy's refusal is for the request alone; the runtime's onSocket() keeps quiet about it.
      if (error.code === 'ERR_PROXY_TUNNEL') {
        if (error.proxyTunnelTimeout) req.emit('timeout')
        req.emit('error', error)
      }
      req.onSocket(socket, error)
      return
    }
    opened = socket
    opening?.sees(socket)
    track(agent, origin, socket, req, release)
    created()
    assign(agent, req, socket, origin)
  }
  try {
    const options = merge(agent.options, exchange.options)
    const refusal = judge(agent, options)
    if (refusal === undefined) agent.createSocket(req, options, onCreated)
    else onCreated(refusal, undefined)
  } catch (error) {
    opening?.end()
    release()
    origin.origins.forget(origin)
    throw error
  }
}

/**
 * @param {any} agent
 * @param {Origin} origin
 * @param {Socket} socket
 * @param {any} req the first that it is for
 * @param {() => void} release
 */
function track(agent, origin, socket, req, release) {
  generations.set(socket, connectGeneration())
  deadlines().beginLife(agent, socket)
  origin.busySockets.add(socket)
  origin.stale = true
  origin.onSocket(socket, fallbackRequests.get(req))
  const gone = () => {
    socket.removeListener('close', gone)
    socket.removeListener('agentRemove', gone)
    origin.busySockets.delete(socket)
    remove(origin.idleSockets, socket)
    deadlines().endIdle(socket)
    origin.stale = true
    release()
    origin.origins.forget(origin)
  }
  socket.on('close', gone)
  socket.on('agentRemove', gone)
  forgetters.set(socket, gone)
}

/** How an agent forgets each of its real sockets. @type {WeakMap<Socket, () => void>} */
const forgetters = new WeakMap()

/**
 * The agent's own 'free' listener.
 * @param {any} agent
 * @param {Origins} origins
 * @param {any} socket
 * @param {Options} options
 */
function onFree(agent, origins, socket, options) {
  if (socket instanceof EngineSocket) return
  const origin = origins.get(agent.getName(options))
  const restMs = deadlines().restOf(agent, socket)
  if (origin === undefined || !socket.writable || restMs === 0) {
    socket.destroy()
    return
  }
  const first = firstOf(origin.queue)
  if (first?.isFallback && first.wait !== null && native.cancel(origins.port.id, first.id)) {
    first.wait.end()
    first.settle()
    first.resource.runInAsyncScope(assign, null, agent, first.req, socket, origin)
    return
  }
  const req = socket._httpMessage
  const wanted = req?.shouldKeepAlive && agent.keepAlive && origin.idleSockets.length < agent.maxFreeSockets
  if (!wanted || !agent.keepSocketAlive(socket) || !native.fallbackIdle(origins.id, origin.key, true)) {
    socket.destroy()
    return
  }
  socket._httpMessage = null
  origin.busySockets.delete(socket)
  origin.idleSockets.push(socket)
  origin.stale = true
  idleStates.set(socket, socket.bytesRead)
  deadlines().beginIdle(socket, restMs)
  if (origins.onQuiet !== null) origins.noteQuiet()
  socket.on('error', onIdleError)
}

/** @param {Set<import('../exchange/exchange.js').Exchange>} queue */
function firstOf(queue) {
  for (const exchange of queue) if (!exchange.wait?.isHeld) return exchange
  return undefined
}

/**
 * The agent's removeSocket(): a real socket is forgotten, and its slot is free for whoever waits. Those of the engine leave with
 * their connections.
 * @this {any}
 * @param {any} socket
 * @param {Options} _options
 */
function removeSocket(socket, _options) {
  forgetters.get(socket)?.()
}

module.exports = {
  asksForUpgrade,
  CONTEXT_REPLACED,
  fallBack,
  fallbackReason,
  fallbackRequests,
  isRuntimes,
  onFree,
  PERMISSION,
  removeSocket,
  SOCKETS_REPLACED,
}
