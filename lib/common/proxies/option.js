'use strict'

// The options `proxy`, `proxyEnv`, `proxyHeaders` and `proxyTls` of agents, and of single requests: what a request goes through.
// `agent.options`, which programs print and copy, has an object in their place that shows no credentials and stands for the same
// proxy in another agent's options.

const { coded, invalidValue, notA, optionError, throwSoon } = require('../errors.js')
const { AgentProxy, linesOf } = require('./agent-proxy.js')
const { KnownProxies, ProxyChoice, ProxyEnv, urls } = require('./rules.js')

/** @typedef {Record<string, any>} Options */
/** @typedef {import('./rules.js').Rule} Rule */

/** Where an agent keeps its rule. */
const kProxy = Symbol('keepwire.proxy')

/**
 * What options say of proxies.
 * @param {Options} options
 * @returns {Rule | undefined} undefined: nothing
 */
function proxyOf(options) {
  const { onProxyError, proxy, proxyEnv, proxyHeaders, proxyTls } = options
  if (onProxyError !== undefined && typeof onProxyError !== 'function')
    throw notA('function', 'onProxyError', onProxyError)
  if (proxy === undefined || proxy === null) {
    if (proxyHeaders !== undefined) throw invalidValue('proxyHeaders', '…', 'needs the option proxy')
    if (proxyTls !== undefined) throw invalidValue('proxyTls', '…', 'needs the option proxy')
    return undefined
  }
  if (proxyEnv !== undefined && proxyEnv !== null) throw invalidValue('proxyEnv', '…', 'and proxy exclude each other')
  if (proxyHeaders === undefined && proxyTls === undefined) {
    if (proxy instanceof AgentProxy || proxy instanceof ProxyChoice) return proxy
  } else {
    checkBesides(proxyHeaders, proxyTls)
  }
  const known = new KnownProxies(proxyHeaders, proxyTls)
  return typeof proxy === 'function' ? new ProxyChoice(proxy, known) : known.find(proxy, true)
}

/**
 * @param {unknown} headers
 * @param {any} tls
 */
function checkBesides(headers, tls) {
  if (headers !== undefined) {
    if (typeof headers !== 'object' || headers === null) {
      throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "proxyHeaders" argument must be of type object')
    }
    linesOf(undefined, headers)
  }
  if (tls !== undefined && (typeof tls !== 'object' || tls === null)) {
    throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "proxyTls" argument must be of type object')
  }
  if (tls?.checkServerIdentity !== undefined) throw invalidValue('proxyTls', '…', 'has no checkServerIdentity')
}

/**
 * Has an agent keep its rule, and its options show it without credentials.
 * @param {any} agent whose options are valid
 */
function keepProxy(agent) {
  const { options, protocol } = agent
  const { proxyEnv } = options
  const isRead = proxyEnv instanceof ProxyEnv
  const rule = isRead ? proxyEnv : isEnv(proxyEnv) ? new ProxyEnv(proxyEnv, protocol) : proxyOf(options)
  // Whatever becomes of its options: nothing goes past it.
  Object.defineProperty(agent, kProxy, { value: rule })
  if (rule === undefined || rule instanceof ProxyEnv) return
  options.proxy = rule
  delete options.proxyHeaders
  delete options.proxyTls
}

/** Whether it is one, as the runtime has it. @param {unknown} value */
function isEnv(value) {
  return typeof value === 'object' && value !== null
}

/** Rules of single requests, as they were given. @type {WeakMap<object, Rule | undefined>} */
const ownRules = new WeakMap()
const ownProxies = new KnownProxies()

/**
 * What a single request says of proxies.
 * @param {Options} options whose `proxy` is something
 * @returns {Rule | undefined}
 */
function ruleOf(options) {
  const { proxy, proxyHeaders, proxyTls } = options
  const isBare = proxyHeaders === undefined && proxyTls === undefined
  if (isBare && (typeof proxy === 'string' || proxy instanceof URL)) return ownProxies.find(proxy, true)
  if (!isBare || typeof proxy !== 'function') return proxyOf({ proxy, proxyHeaders, proxyTls })
  const rule = ownRules.get(proxy) ?? new ProxyChoice(proxy, ownProxies)
  ownRules.set(proxy, rule)
  return rule
}

/**
 * Whether a request says nothing of proxies. Other clients' requests have objects, null or false there, and mean something else:
 * no more than that goes past an agent's proxy by them.
 * @param {any} proxy
 */
function isNothing(proxy) {
  if (proxy === undefined || proxy === null || proxy === false || proxy === '') return true
  return (
    typeof proxy === 'object' && !(proxy instanceof URL || proxy instanceof AgentProxy || proxy instanceof ProxyChoice)
  )
}

/**
 * What a request goes through. As in the runtime, a Unix socket needs no proxy.
 * @param {any} agent
 * @param {Options} options a request's
 * @param {() => string} url of the request
 * @returns {AgentProxy | undefined | Promise<AgentProxy | undefined>}
 */
function proxyFor(agent, options, url) {
  const { proxy } = options
  // Most requests say nothing.
  const rule = proxy === undefined || isNothing(proxy) ? agent[kProxy] : ruleOf(options)
  if (rule === undefined || rule === null) return undefined
  const { options: own } = agent
  if (options.socketPath || own.socketPath) return undefined
  // It is the proxy that would connect, to whatever the name stands for there.
  if (typeof own.allowAddress === 'function')
    throw invalidValue('proxy', '…', "can not be had with the agent's allowAddress")
  if (rule instanceof AgentProxy) return rule
  if (rule instanceof ProxyChoice) return rule.for(url())
  if (!(rule instanceof ProxyEnv)) return undefined
  return rule.of('host' in own ? own.host : options.host, 'port' in own ? own.port : options.port)
}

/**
 * Whether a request goes through a proxy, as far as that is known before it is made.
 * @param {any} agent
 * @param {Options} options the request's
 */
function mayBeProxied(agent, options) {
  const rule = isNothing(options.proxy) ? agent[kProxy] : ruleOf(options)
  if (options.socketPath || agent.options.socketPath) return false
  return rule instanceof ProxyChoice || (rule !== undefined && proxyFor(agent, options, String) !== undefined)
}

/**
 * Whether every request of an agent's goes the same way, unless it says otherwise itself.
 * @param {any} agent
 */
function hasOneWay(agent) {
  return agent[kProxy] === undefined || agent[kProxy] instanceof AgentProxy
}

/**
 * What is added to the name of a request's origin: requests to one target may go several ways.
 * @param {any} agent
 * @param {Options} options the request's
 * @param {AgentProxy | undefined} proxy what it goes through
 */
function suffixOf(agent, options, proxy) {
  const rule = agent[kProxy]
  const isChosen = rule instanceof ProxyChoice
  if (isNothing(options.proxy) && !isChosen) return ''
  if (proxy !== undefined) return `:via ${proxy.label}`
  return rule === undefined || rule === null || isChosen ? '' : ':straight'
}

/**
 * Tells whoever wants to know of it that a request's proxy has failed, before the request hears of it.
 * @param {{ agent: any, options: Options, origin: { proxy?: AgentProxy | undefined } }} exchange
 * @param {Error} error
 */
function tellProxyError({ agent, options, origin }, error) {
  const { proxy } = origin
  const onProxyError = options.onProxyError ?? agent.options.onProxyError
  if (proxy === undefined || typeof onProxyError !== 'function') return
  try {
    onProxyError(error, new URL(urls.get(proxy) ?? proxy.name))
  } catch (thrown) {
    throwSoon(thrown)
  }
}

/**
 * Why a request fails that nothing but the runtime's own sockets can carry: they would go past the proxy.
 * @param {AgentProxy} proxy
 * @param {string} reason
 */
function notProxied(proxy, reason) {
  const message = `The request can't go through ${proxy.name}: only the runtime's own sockets could carry it (${reason})`
  return coded('ERR_KEEPWIRE_PROXY_UNSUPPORTED', message)
}

module.exports = {
  hasOneWay,
  isNothing,
  keepProxy,
  kProxy,
  mayBeProxied,
  notProxied,
  proxyFor,
  proxyOf,
  suffixOf,
  tellProxyError,
}
