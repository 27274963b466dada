'use strict'

// Which requests the engine cannot carry verbatim, and why.

const http = require('node:http')

const {
  isGenuine,
  observes,
  onlyObserves,
  replacedConnecting,
  RuntimeAgent,
  runtimeSecureAgent,
} = require('../runtime/genuine.js')
const { CONNECTION, namesOf } = require('../common/options/table.js')
const { pick } = require('../common/options/merge.js')
const { isUnusual } = require('../common/options/profile.js')
const { kProxy } = require('../common/proxies/option.js')
const { before, https } = require('../runtime/late.js')
const { lazy } = require('../runtime/lazy.js')
const { isSandboxed, mayBeForbidden } = require('../runtime/permission.js')
const { ignoresAgents, isWindows, parsesLeniently } = require('../runtime/probes.js')
const { removeSocket } = require('./fallback-sockets.js')

/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {Record<string, any>} Options */

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

module.exports = { asksForUpgrade, CONTEXT_REPLACED, fallbackReason, isOfTheProcess, PERMISSION, SOCKETS_REPLACED }
