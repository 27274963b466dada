'use strict'

// keepwire's https.Agent: the runtime's, with requests carried by the engine as those of the http agent, over TLS.
//
// An origin's TLS settings are worked out once. Requests find it by what the http agent would call it and by servername, as
// long as neither they nor a change of the agent's options say anything new about TLS.

const net = require('node:net')

const { additions, Agent: HttpAgent, agentOver, initialize, originsOf, overrideIn } = require('./agent.js')
const { fallbackReason } = require('../client-request/fallback-reasons.js')
const { removeSocket } = require('../client-request/fallback-sockets.js')
const { runtimeSecureAgent } = require('../runtime/genuine.js')
const { kFind, kReason, NO_REQUEST } = require('./symbols.js')
const { merge, nameOf } = require('../common/options/merge.js')
const { kProxy, suffixOf } = require('../common/proxies/option.js')
const { invalidValue } = require('../common/errors.js')
const { SecureOrigin } = require('./https-origin.js')
const { isAltered, saysNothingOfTls, isSame, nameSuffix, recordOf, secureOf } = require('../tls/settings.js')

const RuntimeAgent = runtimeSecureAgent()

/** Where an agent keeps what it knows of its origins. */
const kKnown = Symbol('keepwire.known')
/** Origins found by a short name, which keeps them in memory; beyond, all are looked for anew. */
const MOST_KNOWN = 512

/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {Record<string, any>} Options */

/** @type {Options} */
const NO_OPTIONS = Object.freeze({})

class Known {
  /** @type {Map<string, SecureOrigin>} */
  origins = new Map()
  /** What the agent's options said when they were last looked at. @type {Options} */
  options = {}
}

const Agent = agentOver(RuntimeAgent, (agent) => {
  if (agent.options.h2c === true) throw invalidValue('h2c', true, 'is without TLS: https agents have http2')
  initialize(agent)
  Object.defineProperty(agent, kKnown, { value: new Known() })
})

/**
 * Two requests may use one connection if and only if their names are equal. Beside what is in the runtime's names, these
 * tell apart whatever else connections differ in.
 * @this {any}
 * @param {Options} [options]
 */
function getName(options = NO_OPTIONS) {
  return RuntimeAgent.prototype.getName.call(this, options) + nameSuffix(options)
}

/**
 * @param {any} agent
 * @param {import('./origins.js').Origins} origins
 * @param {any} req
 * @param {Options} wanted
 * @param {string | undefined} plain what plainName() says
 * @param {AgentProxy | undefined} proxy what it goes through
 * @returns {SecureOrigin}
 */
function find(agent, origins, req, wanted, plain, proxy) {
  const servername = servernameOf(agent.options, wanted, req)
  if (agent.getName !== getName || !saysNothingOfTls(wanted) || settingsOf(agent) === undefined) {
    return open(agent, origins, wanted, servername, proxy)
  }
  /** @type {Known} */
  const known = agent[kKnown]
  const short = `${plain ?? nameOf(agent.options, wanted)}:${servername}${suffixOf(agent, wanted, proxy)}`
  const found = known.origins.get(short)
  // One that was let go has no key, and its settings may be gone.
  if (found !== undefined && found.key !== 0) return found
  const origin = open(agent, origins, wanted, servername, proxy)
  if (known.origins.size >= MOST_KNOWN) known.origins.clear()
  known.origins.set(short, origin)
  return origin
}

/**
 * How an agent's connections are secured: the same object as long as that does not change.
 * @param {any} agent
 * @returns {object | undefined} undefined: it must be found out for each request
 */
function settingsOf(agent) {
  if (isAltered()) return undefined
  /** @type {Known} */
  const known = agent[kKnown]
  if (!isSame(agent.options, known.options)) {
    known.origins.clear()
    known.options = recordOf(agent.options)
  }
  return known.options
}

/**
 * Where a request of ours goes.
 * @param {any} agent
 * @param {import('./origins.js').Origins} origins
 * @param {import('../fast-request/template.js').Template} template
 * @returns {SecureOrigin | undefined} undefined: only the runtime can take it there
 */
function originOf(agent, origins, { head, name, options }) {
  const origin = find(agent, origins, head, options, name, agent[kProxy])
  return origin.fallbackReason(options) === undefined ? origin : undefined
}

/**
 * Whether only the runtime can do what a request says about security.
 * @param {any} agent
 * @param {Options} wanted
 */
function refuses(agent, wanted) {
  return find(agent, originsOf(agent), NO_REQUEST, wanted, undefined, undefined).fallbackReason(wanted) !== undefined
}

/**
 * @param {any} agent
 * @param {import('./origins.js').Origins} origins
 * @param {Options} wanted
 * @param {unknown} servername
 * @param {AgentProxy | undefined} proxy
 */
function open(agent, origins, wanted, servername, proxy) {
  const options = merge(agent.options, wanted)
  options.servername = servername
  const name = agent.getName(options)
  const suffix = suffixOf(agent, wanted, proxy)
  const found = origins.get(name + suffix)
  if (found !== undefined) return /** @type {SecureOrigin} */ (found)
  const sessions = Number(agent.maxCachedSessions)
  const secure = secureOf(options, sessions > 0 ? sessions : 0, origins.maxStreams !== undefined)
  const origin = new SecureOrigin(origins, name, options, secure, agent.getName === getName, proxy, suffix)
  origins.put(origin)
  return origin
}

/**
 * The name that the server is told, as the runtime makes it out.
 * @param {Options} own an agent's options
 * @param {Options} wanted
 * @param {any} req
 */
function servernameOf(own, wanted, req) {
  const given = own.servername === undefined ? wanted.servername : own.servername
  if (given || given === '') return given
  const host = own.host === undefined ? wanted.host : own.host
  const header = req.getHeader('host')
  const name = header ? hostOf(header) : host
  return net.isIP(name) ? '' : name
}

/** @param {unknown} header */
function hostOf(header) {
  if (typeof header !== 'string') {
    const message = `The "options.headers.host" property must be of type string. Received ${typeof header}`
    throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  if (!header.startsWith('[')) return header.split(':', 1)[0]
  const end = header.indexOf(']')
  return end === -1 ? header : header.substring(1, end)
}

/**
 * @this {any}
 * @param {import('./origins.js').Origins} origins
 * @param {any} req
 * @param {Options} wanted
 * @param {string | undefined} plain what plainName() says
 * @param {AgentProxy | undefined} proxy what it goes through
 */
function findFor(origins, req, wanted, plain, proxy) {
  return find(this, origins, req, wanted, plain, proxy)
}

/**
 * @this {any}
 * @param {SecureOrigin} origin
 * @param {any} req
 * @param {Options} wanted
 * @param {string | undefined} plain what plainName() says
 */
function reason(origin, req, wanted, plain) {
  return fallbackReason(this, req, wanted, plain !== undefined, origin.proxy) ?? origin.fallbackReason(wanted)
}

const { addRequest, destroy } = HttpAgent.prototype
overrideIn(Agent, { addRequest, removeSocket, destroy, getName, [kFind]: findFor, [kReason]: reason })
Object.defineProperties(Agent.prototype, additions)

module.exports = { Agent, originOf, refuses, settingsOf }
