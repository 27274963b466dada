'use strict'

// Which way a request of a fetch goes: over its agent's connections; without an agent over those of an agent that all such
// fetches have in common, or, over TLS, by the engine's client.

const { Agent, originsOf, route } = require('../agent.js')
const { Agent: HttpsAgent } = require('../https-agent.js')
const { settlePending } = require('../own/pending.js')
const { ClientHop } = require('./client-hop.js')
const { Hop } = require('./hop.js')

/** @typedef {import('./request.js').Order} Order */
/** @typedef {import('./hop.js').Owner} Owner */

/** @type {any} */
let common

/** Shares its idle connections with the other threads'. */
function commonAgent() {
  common ??= new /** @type {any} */ (Agent)({ keepAlive: true, shared: true, warnings: false })
  return common
}

/**
 * Sends an order on its way.
 * @param {Order} order
 * @param {Owner} owner
 * @returns {Hop | ClientHop}
 */
function send(order, owner) {
  const { target } = order
  const agent = typeof order.agent === 'function' ? order.agent(new URL(target.href)) : order.agent
  if (agent !== undefined && agent !== null) return sendOver(agent, order, owner)
  if (target.protocol === 'https:') {
    const hop = new ClientHop(order, owner)
    hop.start()
    return hop
  }
  const hop = new Hop(order, commonAgent(), owner)
  hop.start(knownOrigin(target), true)
  return hop
}

/** @param {import('./target.js').Target} target */
function knownOrigin(target) {
  // One that was let go has no key.
  if (target.known !== null && target.known.key !== 0) return target.known
  const origins = originsOf(commonAgent())
  const { wanted } = target
  const name = `${wanted.host}:${wanted.port}:`
  target.known = origins.get(name) ?? origins.add(name, { __proto__: null, ...commonAgent().options, ...wanted })
  return target.known
}

/**
 * @param {any} agent
 * @param {Order} order
 * @param {Owner} owner
 */
function sendOver(agent, order, owner) {
  const { target } = order
  if (!(agent instanceof Agent || agent instanceof HttpsAgent)) {
    throw refused('must be an Agent or HttpsAgent of keepwire, or a function that gives one')
  }
  const { protocol } = /** @type {any} */ (agent)
  if (protocol !== target.protocol) {
    throw refused(`is for ${protocol} and can't carry a request for ${target.origin}`)
  }
  settlePending(agent)
  const hop = new Hop(order, agent, owner)
  const { origin, plain, reason } = route(agent, hop, target.wanted)
  if (reason !== undefined) throw refused(`can't carry it: only the runtime's own sockets could (${reason})`)
  hop.start(origin, plain !== undefined)
  return hop
}

/** @param {string} why */
function refused(why) {
  return Object.assign(new TypeError(`The option "agent" of fetch() ${why}`), { code: 'ERR_INVALID_ARG_VALUE' })
}

module.exports = { send }
