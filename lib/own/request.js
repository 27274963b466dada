'use strict'

// Our own request(): an http.ClientRequest without the runtime's state, as long as its user only listens, ends it, and
// reads the answer by 'data' and 'end'. Whatever else is asked of it, before or after it was sent, makes it the runtime's
// own (whole.js). What is not simple from the start is the runtime's from the start.

const { EventEmitter } = require('node:events')
const http = require('node:http')

const { Agent } = require('../agent.js')
const { foreignReason } = require('../foreign.js')
const { isPlain, plainName } = require('../options.js')
const { hasListeners, ignoresAgents } = require('../runtime.js')
const { LeanExchange } = require('./exchange.js')
const { forward } = require('./forward.js')
const { headOf, isSimpleHost } = require('./head.js')
const { add } = require('./pending.js')
const { argumentsOf, PlainRequest } = require('./plain-request.js')
const { ENDED, SENT } = require('./phases.js')
const { kLean } = require('./symbols.js')

/**
 * What was asked for.
 * @typedef {object} Order
 * @property {string} method
 * @property {ReturnType<typeof headOf> & {}} head
 * @property {string} name of the origin
 * @property {Record<string, any>} options what the runtime's constructor makes the same request of
 */

const Emitter = /** @type {any} */ (EventEmitter)
const { ClientRequest } = /** @type {any} */ (http)
const { addRequest } = Agent.prototype
const runtimeGetName = /** @type {any} */ (http.Agent.prototype).getName
const DIGITS = /^\d{1,5}$/

/**
 * @this {any}
 * @param {LeanExchange} exchange
 */
function LeanRequest(exchange) {
  Emitter.call(this)
  this[kLean] = exchange
}
LeanRequest.prototype = Object.create(ClientRequest.prototype)

/** @type {Record<string, unknown>} */
const lean = {
  /**
   * @this {any}
   * @param {any} [chunk]
   * @param {any} [encoding]
   * @param {any} [callback]
   */
  end(chunk, encoding, callback) {
    const exchange = this[kLean]
    if (callback === undefined && exchange.end(chunk, encoding)) return this
    exchange.whole()
    return this.end(chunk, encoding, callback)
  },
}

/** @type {PropertyDescriptorMap} */
const accessors = {
  method: shown((exchange) => exchange.order.method),
  path: shown((exchange) => exchange.order.options.path),
  host: shown((exchange) => exchange.order.options.host),
  protocol: shown(() => 'http:'),
  agent: shown((exchange) => exchange.agent),
  aborted: shown(() => false),
  destroyed: shown((exchange) => exchange.phase >= ENDED),
  finished: shown((exchange) => exchange.isEnded),
  writableEnded: shown((exchange) => exchange.isEnded),
  writableFinished: shown((exchange) => exchange.phase >= SENT),
  headersSent: shown((exchange) => exchange.isEnded),
  reusedSocket: shown((exchange) => exchange.phase >= SENT),
  res: shown((exchange) => exchange.res),
  socket: shown((exchange) => exchange.socket),
  connection: shown((exchange) => exchange.socket),
}

/** @param {(exchange: LeanExchange) => unknown} look */
function shown(look) {
  return {
    /** @this {any} */
    get() {
      return look(this[kLean])
    },
  }
}

/** A request of the runtime's that goes nowhere. @param {Record<string, any>} options */
function unsent(options) {
  const agent = Object.create(new /** @type {any} */ (http.Agent)({ keepAlive: true }), { addRequest: { value() {} } })
  return new ClientRequest({ ...options, agent })
}

if (!ignoresAgents)
  forward(LeanRequest.prototype, ClientRequest.prototype, () => Reflect.ownKeys(unsent({})), accessors, lean)

/** Whether heads made here are what the runtime makes. */
function speaksAlike() {
  const headers = { Accept: '*/*', 'x-Number': 5 }
  for (const [method, body] of [['GET'], ['DELETE'], ['POST'], ['PUT', 'body']]) {
    const port = 8080
    const theirs = unsent({ method, path: '/a?b', host: 'example.com', port, headers })
    theirs.end(body)
    const ours = headOf(String(method), '/a?b', 'example.com', port, 80, headers)
    if (theirs._header !== ours?.bytes(body?.length ?? 0)) return false
  }
  return true
}

/** @type {boolean | undefined} */
let isUsable

/** Whether this runtime's requests can be done without. */
function usable() {
  isUsable ??= !ignoresAgents && speaksAlike()
  return isUsable
}

/** What a request with nothing unusual looks like to foreignReason(). */
const usualRequest = Object.freeze({
  method: 'GET',
  getHeader: () => undefined,
  _header: null,
  insecureHTTPParser: undefined,
  httpValidation: undefined,
})

/**
 * Whether options say nothing but what a lean request can do.
 * @param {Record<string, any>} options
 */
function isSimple(options) {
  return (
    options.auth === undefined &&
    options.setHost === undefined &&
    options.setDefaultHeaders === undefined &&
    options.timeout === undefined &&
    options.createConnection === undefined &&
    options.maxHeaderSize === undefined &&
    options.insecureHTTPParser === undefined &&
    options.httpValidation === undefined &&
    options.joinDuplicateHeaders === undefined &&
    options.uniqueHeaders === undefined &&
    options.highWaterMark === undefined &&
    options.defaultPort === undefined &&
    options.noDelay === undefined &&
    options.keepAlive === undefined &&
    options._defaultAgent === undefined &&
    (options.protocol === undefined || options.protocol === 'http:') &&
    isPlain(options)
  )
}

/** @param {any} agent */
function isOurs(agent) {
  return (
    agent instanceof /** @type {any} */ (Agent) &&
    agent.addRequest === addRequest &&
    agent.getName === runtimeGetName &&
    agent.protocol === 'http:' &&
    (agent.keepAlive || Number.isFinite(agent.maxSockets)) &&
    !agent.options.shared &&
    agent.options.retry === undefined &&
    agent.options.headersTimeout === undefined &&
    agent.options.bodyTimeout === undefined
  )
}

/**
 * @param {any} defaultAgent
 * @param {Record<string, any>} options
 * @param {unknown} callback
 * @returns {any} undefined: it takes the runtime's own request
 */
function leanRequest(defaultAgent, options, callback) {
  const agent = options.agent ?? defaultAgent
  if (!usable() || options.agent === false || !isOurs(agent) || !isSimple(options) || hasListeners()) return undefined
  if (callback !== undefined && typeof callback !== 'function') return undefined
  const { headers } = options
  if (headers !== undefined && (typeof headers !== 'object' || headers === null || Array.isArray(headers)))
    return undefined
  if (!isText(options.hostname) || !isText(options.host) || !isText(options.method)) return undefined
  const host = options.hostname || options.host || 'localhost'
  const path = options.path || '/'
  const method = options.method || 'GET'
  const port = portOf(options.port, agent.defaultPort)
  if (port === 0 || !isSimpleHost(host) || typeof path !== 'string') return undefined
  const target = { host, port }
  const name = plainName(agent.options, target)
  if (name === undefined || foreignReason(agent, usualRequest, target, true) !== undefined) return undefined
  const ownHeaders = headers === undefined ? undefined : { ...headers }
  const head = headOf(method, path, host, port, agent.defaultPort, ownHeaders)
  if (head === undefined) return undefined
  const order = { method, head, name, options: { method, path, host, port, headers: ownHeaders } }
  const exchange = new LeanExchange(agent, order)
  const req = new /** @type {any} */ (LeanRequest)(exchange)
  exchange.req = req
  if (callback !== undefined) req.once('response', callback)
  add(exchange)
  return req
}

/** What the runtime takes for a host and a method, be it nothing. @param {unknown} value */
function isText(value) {
  return value === undefined || value === null || typeof value === 'string'
}

/**
 * @param {unknown} port
 * @param {unknown} defaultPort
 * @returns {number} 0: not a simple one
 */
function portOf(port, defaultPort) {
  if (port === undefined || port === null || port === '') port = defaultPort
  if (typeof port === 'string' && DIGITS.test(port)) port = Number(port)
  return typeof port === 'number' && (port & 0xffff) === port ? port : 0
}

/** The last URL given as a string. @type {{ text: string, options: Record<string, any> | undefined }} */
let lastUrl = { text: '', options: undefined }

/**
 * @param {string | URL} input
 * @returns {Record<string, any> | undefined} undefined: not a simple one
 */
function fromUrl(input) {
  if (typeof input === 'string') {
    if (lastUrl.text !== input)
      lastUrl = { text: input, options: URL.canParse?.(input) ? parts(new URL(input)) : undefined }
    return lastUrl.options
  }
  return Object.keys(input).length === 0 ? parts(input) : undefined
}

/** @param {URL} url */
function parts(url) {
  const { protocol, hostname, port, pathname, search, username, password } = url
  if (protocol !== 'http:' || username !== '' || password !== '' || hostname === '') return undefined
  return { host: hostname, port, path: pathname + search }
}

/**
 * Where the runtime's own request ignores agents.
 * @param {any} defaultAgent
 * @param {[Record<string, any>, any]} given options and callback
 * @returns {any} undefined: the agent is not ours, or the request takes a real socket
 */
function plainRequest(defaultAgent, [options, callback]) {
  const agent = options.agent ?? defaultAgent
  const { headers, method } = options
  if (!(agent instanceof /** @type {any} */ (Agent)) || options.createConnection !== undefined) return undefined
  const names = Array.isArray(headers) ? headers.flat() : Object.keys(headers ?? {})
  if (names.some((name) => String(name).toLowerCase() === 'upgrade')) return undefined
  const wanted = { ...usualRequest, method: String(method ?? 'GET').toUpperCase() }
  if (foreignReason(agent, wanted, { ...options, port: options.port || 80, signal: undefined }, false) !== undefined)
    return undefined
  return new /** @type {any} */ (PlainRequest)(agent, options, callback)
}

/**
 * @param {any} defaultAgent
 * @param {any} input
 * @param {any} options
 * @param {any} callback
 * @returns {any} undefined: it takes the runtime's own request
 */
function ownRequest(defaultAgent, input, options, callback) {
  if (ignoresAgents) return plainRequest(defaultAgent, argumentsOf(input, options, callback))
  if (typeof input === 'string' || input instanceof URL) {
    const url = fromUrl(input)
    if (url === undefined) return undefined
    if (options === undefined || typeof options === 'function')
      return leanRequest(defaultAgent, url, options ?? callback)
    if (typeof options !== 'object' || options === null) return undefined
    return leanRequest(defaultAgent, { ...url, ...options }, callback)
  }
  if (typeof input !== 'object' || input === null || input.href !== undefined) return undefined
  return leanRequest(defaultAgent, input, options)
}

module.exports = { ownRequest }
