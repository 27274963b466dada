'use strict'

// Falling back to the runtime's sockets, for requests that the engine cannot carry verbatim: a real socket and the runtime's parser.
// fallback-reasons.js says which these are, fallback-sockets.js has the sockets.

const native = require('../bridge/native.js')
const { kProxy, notProxied } = require('../common/proxies/option.js')
const { ProxyEnv } = require('../common/proxies/rules.js')
const { warnOfFallback } = require('../common/warnings.js')
const { lease } = require('../exchange/lease.js')
const { replacedConnecting } = require('../runtime/genuine.js')
const { heedsProxyEnv } = require('../runtime/probes.js')
const { exchangeFor } = require('./exchange.js')
const { isOfTheProcess } = require('./fallback-reasons.js')
const { create, fallbackRequests, takeIdle, use } = require('./fallback-sockets.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../common/proxies/agent-proxy.js').AgentProxy} AgentProxy */
/** @typedef {Record<string, any>} Options */

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
  if (proxy !== undefined && !runtimeUses(agent, proxy)) {
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
function runtimeUses(agent, proxy) {
  const rule = agent[kProxy]
  return rule instanceof ProxyEnv && rule.proxy === proxy && heedsProxyEnv()
}

module.exports = { fallBack, runtimeUses }
