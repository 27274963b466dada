'use strict'

// The agents that fetches without one have in common, and the origins of their requests.

const { Agent, originsOf, route } = require('../agent/agent.js')
const { Agent: HttpsAgent } = require('../agent/https-agent.js')
const { bun, deno } = require('../common/proxies/environment.js')
const { proxyFor } = require('../common/proxies/option.js')
const { ProxyEnv } = require('../common/proxies/rules.js')
const { fieldOf } = require('./head.js')
const { isBun, isNode } = require('./platform.js')

/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {import('./request.js').FetchRequest} FetchRequest */

const OPTIONS = Object.freeze({ keepAlive: true, shared: true, warnings: false })

/**
 * What the runtime's own fetch makes of the environment: Bun's and Deno's go through its proxies, Node's only if the program says
 * so, which is told by its dispatcher.
 * @param {string} protocol
 */
function environment(protocol) {
  if (isNode) return undefined
  try {
    return new ProxyEnv(process.env, protocol, isBun ? bun : deno)
  } catch (error) {
    // Deno may not let us look: its own fetch is asked no more.
    if (/** @type {any} */ (error)?.code === 'ERR_PROXY_INVALID_CONFIG') throw error
    return undefined
  }
}

/** @type {any} */
let http
/** @type {any} */
let https

/** Over whose connections those for `http:` go. It shares its idle connections with the other threads'. */
function httpAgent() {
  http ??= new Agent({ ...OPTIONS, proxyEnv: environment('http:') })
  return http
}

/** Over whose connections those for `https:` go: over HTTP/2 with servers that choose it. */
function httpsAgent() {
  https ??= new HttpsAgent({ ...OPTIONS, http2: true, proxyEnv: environment('https:') })
  return https
}

/** @param {import('./target.js').Target} target */
function httpOrigin(target) {
  // One that was let go has no key.
  if (target.known !== null && target.known.key !== 0) return target.known
  const agent = httpAgent()
  const origins = originsOf(agent)
  const { wanted } = target
  const name = `${wanted.host}:${wanted.port}:`
  const proxy = /** @type {AgentProxy | undefined} */ (proxyFor(agent, wanted, () => target.href))
  target.known = origins.get(name) ?? origins.add(name, { __proto__: null, ...agent.options, ...wanted }, proxy, '')
  return target.known
}

/** @param {FetchRequest} request */
function httpsOrigin(request) {
  const asking = { method: request.method, getHeader: (/** @type {string} */ name) => fieldOf(request, name) }
  const agent = httpsAgent()
  const { href, wanted } = request.target
  const proxy = /** @type {AgentProxy | undefined} */ (proxyFor(agent, wanted, () => href))
  return route(agent, asking, wanted, proxy).origin
}

module.exports = { httpAgent, httpOrigin, httpsAgent, httpsOrigin }
