'use strict'

// What fetches without an agent have in common.

const { Agent, originsOf, route } = require('../agent/agent.js')
const { Agent: HttpsAgent } = require('../agent/https-agent.js')
const { fieldOf } = require('./head.js')

/** @typedef {import('./request.js').Order} Order */

const OPTIONS = Object.freeze({ keepAlive: true, shared: true, warnings: false })

/** @type {any} */
let plain
/** @type {any} */
let secure

/** Over whose connections those for `http:` go. It shares its idle connections with the other threads'. */
function plainAgent() {
  plain ??= new Agent(OPTIONS)
  return plain
}

/** Over whose connections those for `https:` go: over HTTP/2 with servers that choose it. */
function secureAgent() {
  secure ??= new HttpsAgent({ ...OPTIONS, http2: true })
  return secure
}

/** @param {import('./target.js').Target} target */
function plainOrigin(target) {
  // One that was let go has no key.
  if (target.known !== null && target.known.key !== 0) return target.known
  const agent = plainAgent()
  const origins = originsOf(agent)
  const { wanted } = target
  const name = `${wanted.host}:${wanted.port}:`
  target.known = origins.get(name) ?? origins.add(name, { __proto__: null, ...agent.options, ...wanted })
  return target.known
}

/** @param {Order} order */
function secureOrigin(order) {
  const asking = { method: order.method, getHeader: (/** @type {string} */ name) => fieldOf(order, name) }
  return route(secureAgent(), asking, order.target.wanted).origin
}

module.exports = { plainAgent, plainOrigin, secureAgent, secureOrigin }
