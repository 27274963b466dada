'use strict'

// The options `proxy`, `proxyHeaders` and `proxyTls` of agents. `agent.options`, which programs print and copy, has an object in their place
// that shows no credentials and stands for the same proxy in another agent's options.

const { createHmac, randomBytes } = require('node:crypto')
const { isIP } = require('node:net')

const { coded, invalidValue, optionError } = require('./errors.js')

/** @typedef {Record<string, any>} Options */

/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/
const VALUE = /^[\t\x20-\x7e]*$/

/** Fields that say where a request to a proxy goes, or ends. */
const OURS = new Set(['host', 'content-length', 'transfer-encoding', 'connection'])

const DEFAULT_PORTS = /** @type {Record<string, number>} */ ({ 'http:': 80, 'https:': 443 })

/** Where an agent keeps its proxy. */
const kProxy = Symbol('keepwire.proxy')

/** Without it nobody can try passwords on what tells proxies apart. */
const SECRET = randomBytes(32)

/** What tls/settings.js makes of options. @typedef {(options: Options, sessions: number, http2: boolean) => { id: number, servername: string } | string} SecureOf */

/** As the runtime's `maxCachedSessions`. */
const MOST_SESSIONS = 100

/** A proxy, as an agent's options name it. */
class AgentProxy {
  /** Header lines for it that are its user's. */
  #fields
  /** How it is secured itself; null: it is not. @type {Options | null} */
  #tls
  /** Its URL without credentials. */
  name
  host
  port
  /** What tells it, with its credentials and fields, from others. */
  id

  /**
   * @param {URL} url
   * @param {Options | undefined} headers
   * @param {Options | undefined} tls
   */
  constructor(url, headers, tls) {
    const { hostname, port, protocol } = url
    this.host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
    this.port = port === '' ? DEFAULT_PORTS[protocol] : Number(port)
    this.name = `${protocol}//${url.host}`
    this.#fields = linesOf(authorizationOf(url), headers)
    this.#tls = protocol === 'https:' ? { servername: isIP(this.host) ? '' : this.host, ...tls, host: this.host } : null
    const told = `${this.name}\0${this.#fields}\0${JSON.stringify(this.#tls)}`
    this.id = createHmac('sha256', SECRET).update(told).digest('base64')
  }

  /**
   * As the engine wants it.
   * @param {boolean} forwards whether requests name their targets to it
   * @param {boolean} stays whether connections to it are kept
   * @param {SecureOf} secureOf
   */
  describe(forwards, stays, secureOf) {
    const { host, name, port } = this
    const keeps = stays && !forwards ? 'proxy-connection: keep-alive\r\n' : ''
    return { host, port, forwards, fields: this.#fields + keeps, name, ...this.secure(secureOf) }
  }

  /**
   * How it is secured itself.
   * @param {SecureOf} secureOf
   */
  secure(secureOf) {
    if (this.#tls === null) return undefined
    const secure = secureOf(this.#tls, MOST_SESSIONS, false)
    if (typeof secure !== 'string') return { tls: secure.id, servername: secure.servername }
    throw invalidValue('proxyTls', secure, "asks for what the engine's TLS does not have")
  }

  toString() {
    return this.name
  }
}

/** @param {string} why */
function invalid(why) {
  return optionError(Error, 'ERR_PROXY_INVALID_CONFIG', `Invalid proxy URL: ${why}`)
}

/** @param {URL} url */
function authorizationOf({ username, password }) {
  if (username === '' && password === '') return undefined
  let credentials
  try {
    credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  } catch {
    throw invalid('its user or password is badly escaped')
  }
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

/**
 * @param {string | undefined} authorization
 * @param {Options} [headers]
 */
function linesOf(authorization, headers = {}) {
  const given = Object.entries(headers)
  const hasOwn = given.some(([name]) => name.toLowerCase() === 'proxy-authorization')
  let lines = authorization === undefined || hasOwn ? '' : `proxy-authorization: ${authorization}\r\n`
  for (const [name, value] of given) {
    if (!TOKEN.test(name) || OURS.has(name.toLowerCase())) {
      throw invalidValue('proxyHeaders', name, 'has a name that no field for a proxy can have')
    }
    for (const one of Array.isArray(value) ? value : [value]) {
      const text = String(one)
      // The value may be a secret.
      if (!VALUE.test(text)) throw invalidValue('proxyHeaders', name, 'has a value with invalid characters')
      lines += `${name}: ${text}\r\n`
    }
  }
  return lines
}

/**
 * An agent's proxy.
 * @param {Options} options
 * @returns {AgentProxy | undefined} undefined: it has none
 */
function proxyOf({ proxy, proxyEnv, proxyHeaders, proxyTls }) {
  if (proxy === undefined || proxy === null) {
    if (proxyHeaders !== undefined) throw invalidValue('proxyHeaders', '…', 'needs the option proxy')
    if (proxyTls !== undefined) throw invalidValue('proxyTls', '…', 'needs the option proxy')
    return undefined
  }
  if (proxyEnv !== undefined && proxyEnv !== null)
    throw invalidValue('proxyEnv', proxyEnv, 'and proxy exclude each other')
  if (proxy instanceof AgentProxy && proxyHeaders === undefined && proxyTls === undefined) return proxy
  if (proxyHeaders !== undefined && (typeof proxyHeaders !== 'object' || proxyHeaders === null)) {
    throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "proxyHeaders" argument must be of type object')
  }
  if (typeof proxy !== 'string' && !(proxy instanceof URL)) {
    throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "proxy" argument must be a URL or of type string')
  }
  let url
  try {
    url = new URL(proxy)
  } catch {
    throw invalid('it must be one such as http://127.0.0.1:3128')
  }
  if (DEFAULT_PORTS[url.protocol] === undefined) throw invalid(`${url.protocol}// proxies are not supported`)
  if (url.hostname === '') throw invalid('it has no host')
  if (url.pathname.length > 1 || url.search !== '' || url.hash !== '')
    throw invalid('it has more than a host and a port')
  if (proxyTls !== undefined && (typeof proxyTls !== 'object' || proxyTls === null)) {
    throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "proxyTls" argument must be of type object')
  }
  if (proxyTls !== undefined && url.protocol !== 'https:') throw invalidValue('proxyTls', '…', 'needs an https proxy')
  if (proxyTls?.checkServerIdentity !== undefined) {
    throw invalidValue('proxyTls', '…', 'has no checkServerIdentity')
  }
  return new AgentProxy(url, proxyHeaders, proxyTls)
}

/**
 * Has an agent keep its proxy, and its options show it without credentials.
 * @param {any} agent whose options are valid
 */
function keepProxy(agent) {
  const { options } = agent
  const proxy = proxyOf(options)
  // Whatever becomes of its options: nothing goes past it.
  Object.defineProperty(agent, kProxy, { value: proxy ?? options.proxy })
  if (proxy === undefined) return
  options.proxy = proxy
  delete options.proxyHeaders
  delete options.proxyTls
}

/**
 * What a request with these options goes through. As in the runtime, a Unix socket needs no proxy.
 * @param {any} agent
 * @param {Options} options
 * @returns {AgentProxy | undefined}
 */
function proxyFor(agent, options) {
  const proxy = agent[kProxy]
  return proxy instanceof AgentProxy && !options.socketPath && !agent.options.socketPath ? proxy : undefined
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

module.exports = { keepProxy, kProxy, notProxied, proxyFor, proxyOf }
