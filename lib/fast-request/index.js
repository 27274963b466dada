'use strict'

// Our own request(): an http.ClientRequest without the runtime's state, as long as its user only listens, ends it, and
// reads the answer by 'data' and 'end'. Whatever else is asked of it, before or after it was sent, makes it the runtime's
// own (promote.js). template.js tells which requests it is made for.

const { EventEmitter } = require('node:events')

const { fallbackReason } = require('../client-request/fallback-reasons.js')
const { mayBeProxied } = require('../common/proxies/option.js')
const { ClientRequest, knowsClientRequest } = require('../runtime/genuine.js')
const { ignoresAgents } = require('../runtime/probes.js')
const { argumentsOf, simpleArguments } = require('./arguments.js')
const { FastExchange } = require('./exchange.js')
const { forward } = require('./forward.js')
const { templateOf, unsent, usualRequest } = require('./template.js')
const { add } = require('../exchange/batch.js')
const { ENDED, SENT } = require('./state.js')
const { kFast } = require('./symbols.js')

/** @typedef {import('./template.js').Scheme} Scheme */

const Emitter = /** @type {any} */ (EventEmitter)
/** @type {any} */
const LegacyRequest = ignoresAgents ? require('../bun-legacy/request.js').LegacyRequest : undefined

/**
 * @this {any}
 * @param {FastExchange} exchange
 */
function FastRequest(exchange) {
  Emitter.call(this)
  this[kFast] = exchange
}
FastRequest.prototype = Object.create(ClientRequest.prototype)

/** @type {Record<string, unknown>} */
const fast = {
  /**
   * @this {any}
   * @param {any} [chunk]
   * @param {any} [encoding]
   * @param {any} [callback]
   */
  end(chunk, encoding, callback) {
    const exchange = this[kFast]
    // Kept from when it was fast, as whoever wraps methods does.
    if (exchange === undefined) return ClientRequest.prototype.end.call(this, chunk, encoding, callback)
    if (callback === undefined && exchange.end(chunk, encoding)) return this
    exchange.promote()
    return this.end(chunk, encoding, callback)
  },
}

/** @type {Record<string, (exchange: FastExchange) => unknown>} */
const shown = {
  method: (exchange) => exchange.template.method,
  path: (exchange) => exchange.template.options.path,
  host: (exchange) => exchange.template.options.host,
  protocol: (exchange) => exchange.template.scheme.protocol,
  agent: (exchange) => exchange.agent,
  aborted: () => false,
  destroyed: (exchange) => exchange.phase >= ENDED,
  finished: (exchange) => exchange.isEnded,
  writableEnded: (exchange) => exchange.isEnded,
  writableFinished: (exchange) => exchange.phase >= SENT && exchange.isSent,
  headersSent: (exchange) => exchange.isEnded,
  reusedSocket: (exchange) => exchange.phase >= SENT && !exchange.hasWaited,
  res: (exchange) => exchange.res,
  socket: (exchange) => exchange.socket,
  connection: (exchange) => exchange.socket,
}

if (!ignoresAgents && knowsClientRequest)
  forward(FastRequest.prototype, ClientRequest.prototype, () => Reflect.ownKeys(unsent({})), shown, fast)

/**
 * @param {Scheme} scheme
 * @param {any} agent
 * @param {Record<string, any>} options
 * @param {unknown} callback
 * @returns {any} undefined: it takes the runtime's own request
 */
function fastRequest(scheme, agent, options, callback) {
  if (callback !== undefined && typeof callback !== 'function') return undefined
  const template = templateOf(scheme, agent, options)
  if (template === undefined) return undefined
  const exchange = new FastExchange(agent, template)
  const req = new /** @type {any} */ (FastRequest)(exchange)
  exchange.req = req
  if (callback !== undefined) req.once('response', callback)
  add(exchange)
  return req
}

/**
 * Where the runtime's own request ignores agents.
 * @param {Scheme} scheme
 * @param {any} agent
 * @param {Record<string, any>} options
 * @param {any} callback
 * @returns {any} undefined: the agent is not ours, or the request takes a real socket
 */
function legacyRequest({ Agent, refuses }, agent, options, callback) {
  const { headers, method } = options
  if (!(agent instanceof Agent) || options.createConnection !== undefined) return undefined
  const names = Array.isArray(headers) ? headers.flat() : Object.keys(headers ?? {})
  if (names.some((name) => String(name).toLowerCase() === 'upgrade')) return undefined
  const wanted = { ...usualRequest, method: String(method ?? 'GET').toUpperCase() }
  const target = { ...options, port: options.port || agent.defaultPort, signal: undefined }
  // What goes through a proxy would go past it over the runtime's sockets.
  const mayLeave = !mayBeProxied(agent, target)
  if (mayLeave && (fallbackReason(agent, wanted, target, false, undefined) ?? refuses(agent, target))) return undefined
  return new LegacyRequest(agent, options, callback)
}

/**
 * Makes our request() for a scheme.
 * @param {Scheme} scheme
 */
function requestOver(scheme) {
  /**
   * @param {any} defaultAgent
   * @param {any} input
   * @param {any} options
   * @param {any} callback
   * @returns {any} undefined: it takes the runtime's own request
   */
  return function ownRequest(defaultAgent, input, options, callback) {
    const given = ignoresAgents ? argumentsOf(input, options, callback) : simpleArguments(input, options, callback)
    if (given === undefined) return undefined
    const [wanted, done] = given
    // Its default agent is another one, maybe of another protocol: http.ClientRequest makes https requests like this.
    if (wanted._defaultAgent && scheme.protocol === 'http:') return undefined
    const agent = wanted.agent ?? defaultAgent
    if (agent === false) return undefined
    return (ignoresAgents ? legacyRequest : fastRequest)(scheme, agent, wanted, done)
  }
}

module.exports = { requestOver }
