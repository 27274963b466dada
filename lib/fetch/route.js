'use strict'

// Which way a request of a fetch goes: over its agent's connections; without an agent over those of an agent that all such
// fetches have in common; by reqwest's client, if it was named; and over the runtime's sockets to servers with which the engine has
// nothing in common, or while somebody mocks requests or sockets.

const net = require('node:net')

const { Agent, route } = require('../agent/agent.js')
const { CONTEXT_REPLACED, PERMISSION, SOCKETS_REPLACED } = require('../client-request/fallback-reasons.js')
const {
  isClientRequestReplaced,
  isIdentityReplaced,
  isLookupReplaced,
  replacedConnecting,
} = require('../runtime/genuine.js')
const { Agent: HttpsAgent } = require('../agent/https-agent.js')
const { settlePending } = require('../exchange/batch.js')
const { mayBeForbidden } = require('../runtime/permission.js')
const { LEGACY_SERVER, mayBeLegacy, RENEGOTIATION } = require('../tls/legacy.js')
const { isAltered } = require('../tls/settings.js')
const { warnOfFallback } = require('../common/warnings.js')
const { kProxy, proxyFor } = require('../common/proxies/option.js')
const { canCarry } = require('../bridge/native.js')
const { ClientHandler } = require('./client-handler.js')
const { httpAgent, httpOrigin, httpsAgent, httpsOrigin } = require('./default-agents.js')
const { SENDABLE, DEFAULT_FIELDS, clientHead, fieldOf } = require('./head.js')
const { Handler } = require('./handler.js')
const { RuntimeHandler } = require('./runtime-handler.js')
const { sendsControls } = require('./platform.js')

/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../agent/https-origin.js').SecureOrigin} SecureOrigin */
/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {import('./request.js').FetchRequest} FetchRequest */
/** @typedef {import('./handler.js').Owner} Owner */

/** Why fetches fall back to the runtime's sockets while somebody answers requests in place of its class. */
const REQUESTS_REPLACED = 'requests-replaced'

/** For which reasons the runtime's own request takes a fetch's place. */
const AWAY = new Set([LEGACY_SERVER, RENEGOTIATION, PERMISSION, SOCKETS_REPLACED, REQUESTS_REPLACED, CONTEXT_REPLACED])

/**
 * Why no fetch may pass by what somebody has put in the runtime's place: a mock, which would not hear of it.
 * @param {FetchRequest} request
 */
function mockReason({ place }) {
  if (replacedConnecting() !== undefined) return SOCKETS_REPLACED
  // The runtime's own fetch, in whose place one is, makes no request of that class.
  return place === null && isClientRequestReplaced() ? REQUESTS_REPLACED : undefined
}

/** A longer head goes over the engine's connections, which have no limit of ours. */
const MOST_CLIENT_HEAD = 64 * 1024

/**
 * Whether the client can make sense of a URL: of host names it takes fewer than the runtimes do.
 * @param {import('./target.js').Target} target
 */
function isForClient(target) {
  target.isForClient ??= canCarry(target.href)
  return target.isForClient
}

/**
 * Over whose connections a request goes, and through what.
 * @typedef {object} Way
 * @property {any} agent
 * @property {boolean} isGiven whether its user has named it
 * @property {AgentProxy | undefined | Promise<AgentProxy | undefined>} proxy
 */

/**
 * @param {FetchRequest} request
 * @returns {Way}
 */
function wayOf({ agent: given, proxying, target }) {
  const { href, protocol, wanted } = target
  const chosen = typeof given === 'function' ? given(new URL(href)) : given
  const isGiven = chosen !== undefined && chosen !== null
  if (isGiven) checkAgent(chosen, target)
  const agent = isGiven ? chosen : protocol === 'https:' ? httpsAgent() : httpAgent()
  // Nearly all go where they lead.
  if (proxying === null && agent[kProxy] === undefined) return { agent, isGiven, proxy: undefined }
  return { agent, isGiven, proxy: proxyFor(agent, proxying === null ? wanted : { ...wanted, ...proxying }, () => href) }
}

/**
 * Sends a request on its way.
 * @param {FetchRequest} request
 * @param {Owner} owner
 * @param {any} agent as wayOf() has it
 * @param {boolean} isGiven
 * @param {AgentProxy | undefined} proxy
 * @returns {Handler | ClientHandler | RuntimeHandler}
 */
function send(request, owner, agent, isGiven, proxy) {
  const { target } = request
  if (isGiven || request.proxying !== null) return sendOver(agent, request, owner, proxy, !isGiven)
  const mock = mockReason(request)
  if (mock !== undefined || mayBeForbidden(proxy?.host ?? target.wanted.host, proxy?.port ?? target.wanted.port)) {
    return sendOver(agent, request, owner, proxy)
  }
  // The client knows no proxies.
  if (request.isForClient && proxy === undefined) return sendByClient(request, owner)
  if (target.protocol === 'https:') return sendSecurely(request, owner, proxy)
  const handler = new Handler(request, agent, owner)
  handler.start(httpOrigin(target), true)
  return handler
}

/**
 * @param {any} agent
 * @param {FetchRequest['target']} target
 */
function checkAgent(agent, target) {
  if (!(agent instanceof Agent || agent instanceof HttpsAgent)) {
    throw refused('must be an Agent or HttpsAgent of keepwire, or a function that gives one')
  }
  const { protocol } = /** @type {any} */ (agent)
  if (protocol !== target.protocol) {
    throw refused(`is for ${protocol} and can't carry a request for ${target.origin}`)
  }
}

/**
 * Without an agent, over TLS: an origin is looked for once, as long as nothing but its URL says where it is and who is trusted.
 * @param {FetchRequest} request
 * @param {Owner} owner
 * @param {AgentProxy | undefined} proxy
 */
function sendSecurely(request, owner, proxy) {
  const { fields, target } = request
  const isUsual = !isAltered() && (fields === DEFAULT_FIELDS || fieldOf(request, 'host') === undefined)
  const known = /** @type {SecureOrigin | null} */ (target.known)
  // One that was let go has no key.
  if (isUsual && known !== null && known.key !== 0 && known.fallbackReason(target.wanted) === undefined) {
    const handler = new Handler(request, httpsAgent(), owner)
    handler.start(known, true)
    return handler
  }
  const handler = sendOver(httpsAgent(), request, owner, proxy, true)
  if (isUsual && handler instanceof Handler && handler.isPlain) target.known = handler.origin
  return handler
}

/**
 * @param {FetchRequest} request
 * @param {Owner} owner
 */
function sendByClient(request, owner) {
  const { protocol, wanted } = request.target
  const { host, port } = wanted
  const isSecure = protocol === 'https:'
  const byEngine = () => sendOver(isSecure ? httpsAgent() : httpAgent(), request, owner, undefined, true)
  // The client can't ask the program who its peers are, nor what names stand for.
  if (isIdentityReplaced() || (isLookupReplaced() && net.isIP(host) === 0)) return byEngine()
  const origin = isSecure && mayBeLegacy(host, port) ? httpsOrigin(request) : null
  const known = origin?.legacyReason
  if (origin && known !== undefined) return sendAway(httpsAgent(), origin, known, request, owner)
  const head = clientHead(request)
  const isCarried = head.length <= MOST_CLIENT_HEAD && isForClient(request.target) && areSendable(request)
  if (!isCarried) return byEngine()
  const handler = new ClientHandler(request, owner, head)
  handler.start()
  return handler
}

/**
 * Whether the client takes the values of its fields: the engine says whatever the runtime's fetch does.
 * @param {FetchRequest} request
 */
function areSendable({ fields }) {
  return !sendsControls || fields.every((field) => SENDABLE.test(field))
}

/**
 * @param {any} agent
 * @param {FetchRequest} request
 * @param {Owner} owner
 * @param {AgentProxy | undefined} proxy
 * @param {boolean} [mayLeave] whether the runtime's own sockets may carry whatever the engine can't
 */
function sendOver(agent, request, owner, proxy, mayLeave = false) {
  settlePending(agent)
  const handler = new Handler(request, agent, owner)
  const { origin, plain, reason } = route(agent, handler, handler.options, proxy)
  const away = mockReason(request) ?? reason
  if (away !== undefined && (mayLeave || AWAY.has(away))) return sendAway(agent, origin, away, request, owner)
  if (reason !== undefined) throw refused(`can't carry it: only the runtime's own sockets could (${reason})`)
  handler.start(origin, plain !== undefined)
  return handler
}

/**
 * To a server that is known to have nothing in common with the engine, that the program may not connect to, or that somebody
 * mocks.
 * @param {any} agent
 * @param {Origin} origin
 * @param {string} reason
 * @param {FetchRequest} request
 * @param {Owner} owner
 */
function sendAway(agent, origin, reason, request, owner) {
  const handler = detour(agent, origin, reason, request, owner)
  if (handler.isStream) owner.onReady()
  return handler
}

/**
 * Sends a request over the runtime's sockets, among an agent's connections.
 * @param {any} agent
 * @param {Origin} origin
 * @param {string} reason why only they can carry it
 * @param {FetchRequest} request
 * @param {Owner} owner who has been told that it may send a body that is a stream, or will be
 */
function detour(agent, origin, reason, request, owner) {
  const isMocked = reason === SOCKETS_REPLACED || reason === REQUESTS_REPLACED
  // The agent that fetches without one have in common is silent about the program's ways with agents.
  if (isMocked || reason === CONTEXT_REPLACED)
    warnOfFallback(request.agent ? agent : null, reason, replacedConnecting())
  const handler = new RuntimeHandler(request, owner)
  handler.start(agent, origin, reason, isMocked)
  return handler
}

/** @param {string} why */
function refused(why) {
  return Object.assign(new TypeError(`The option "agent" of fetch() ${why}`), { code: 'ERR_INVALID_ARG_VALUE' })
}

module.exports = { detour, mockReason, send, wayOf }
