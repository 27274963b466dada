'use strict'

// One proxy, as URLs, `proxyHeaders` and `proxyTls` name it: where it is, what it is told, and what tells it from others. Whatever
// shows it shows no credentials.

const { isIP } = require('node:net')

const { crypto } = require('../../runtime/late.js')
const { lazy } = require('../../runtime/lazy.js')
const { invalidValue, optionError } = require('../errors.js')

/** @typedef {Record<string, any>} Options */

/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/
const VALUE = /^[\t\x20-\x7e]*$/

/** Fields that say where a request to a proxy goes, or ends. */
const OURS = new Set(['host', 'content-length', 'transfer-encoding', 'connection'])

/**
 * What there is to know of a scheme.
 * @typedef {object} Kind
 * @property {number} port its default
 * @property {number} way how the engine has it told where to, unless requests do
 * @property {boolean} [resolves] whether a SOCKS proxy looks names up
 */

/** As the engine counts them: src/bridge/profile.rs. */
const TUNNEL = 0
const FORWARD = 1
const SOCKS4 = 4
const SOCKS5 = 5

const SOCKS_PORT = 1080
const KINDS = /** @type {Record<string, Kind>} */ ({
  'http:': { port: 80, way: TUNNEL },
  'https:': { port: 443, way: TUNNEL },
  'socks4:': { port: SOCKS_PORT, way: SOCKS4, resolves: false },
  'socks4a:': { port: SOCKS_PORT, way: SOCKS4, resolves: true },
  'socks:': { port: SOCKS_PORT, way: SOCKS5, resolves: true },
  'socks5:': { port: SOCKS_PORT, way: SOCKS5, resolves: false },
  'socks5h:': { port: SOCKS_PORT, way: SOCKS5, resolves: true },
})

/** In bytes: RFC 1929. */
const LONGEST_LOGIN = 255

/** Without it nobody can try passwords on what tells proxies apart. */
const secret = lazy(() => crypto().randomBytes(32))

/** Enough to tell one from another of its name. */
const DIGITS = 6

/** What tls/settings.js makes of options. @typedef {(options: Options, sessions: number, http2: boolean) => { id: number, servername: string } | string} SecureOf */

/** As the runtime's `maxCachedSessions`. */
const MOST_SESSIONS = 100

/** A proxy, as an agent's options name it. */
class AgentProxy {
  /** Header lines for it that are its user's. */
  #fields
  /** How it is secured itself; null: it is not. @type {Options | null} */
  #tls
  /** Who asks a SOCKS proxy. @type {{ user?: string, password?: string }} */
  #login = {}
  /** @type {Kind} */
  #kind
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
    const { port, protocol } = url
    this.#kind = KINDS[protocol]
    const hostname = hostOf(url)
    this.host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
    this.port = port === '' ? this.#kind.port : Number(port)
    this.name = `${protocol}//${hostname}${port === '' ? '' : `:${port}`}`
    const login = loginOf(url)
    if (this.isSocks) {
      if (headers !== undefined) throw invalidValue('proxyHeaders', '…', 'is for HTTP proxies')
      this.#login = checkedLogin(login, this.#kind.way)
    }
    this.#fields = this.isSocks ? '' : linesOf(authorizationOf(login), headers)
    this.#tls = protocol === 'https:' ? { servername: isIP(this.host) ? '' : this.host, ...tls, host: this.host } : null
    const told = JSON.stringify([this.name, this.#fields, this.#tls, this.#login])
    this.id = crypto().createHmac('sha256', secret()).update(told).digest('base64')
  }

  /** What it is called where others of its name may be: with other credentials. */
  get label() {
    return `${this.name}#${this.id.slice(0, DIGITS)}`
  }

  get isSocks() {
    return this.#kind.way !== TUNNEL
  }

  /** Whether the target's name is looked up here. */
  get asksForTarget() {
    return this.#kind.resolves === false
  }

  /**
   * Whether requests name their targets to it: then its connections serve all of them.
   * @param {string} scheme
   */
  forwards(scheme) {
    return scheme === 'http' && !this.isSocks
  }

  /**
   * As the engine wants it.
   * @param {string} scheme of the target
   * @param {boolean} stays whether connections to it are kept
   * @param {SecureOf} secureOf
   */
  describe(scheme, stays, secureOf) {
    const { host, name, port } = this
    const way = this.forwards(scheme) ? FORWARD : this.#kind.way
    const keeps = stays && way === TUNNEL ? 'proxy-connection: keep-alive\r\n' : ''
    const fields = this.#fields + keeps
    return {
      host,
      port,
      way,
      resolves: this.#kind.resolves !== false,
      fields,
      name,
      ...this.#login,
      ...this.secure(secureOf),
    }
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

/** @param {URL} url @returns {string} as a URL of http has it: of schemes that it does not know, a URL leaves hosts as they are */
function hostOf({ host, hostname, protocol }) {
  if (protocol === 'http:' || protocol === 'https:') return hostname
  try {
    return new URL(`http://${host}`).hostname
  } catch {
    throw invalid('its host is none')
  }
}

/** @param {URL} url @returns {{ user: string, password: string }} */
function loginOf({ username, password }) {
  try {
    return { user: decodeURIComponent(username), password: decodeURIComponent(password) }
  } catch {
    throw invalid('its user or password is badly escaped')
  }
}

/** @param {{ user: string, password: string }} login */
function authorizationOf({ user, password }) {
  if (user === '' && password === '') return undefined
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/**
 * Who asks a SOCKS proxy, if it has a place for that.
 * @param {{ user: string, password: string }} login
 * @param {number} way
 */
function checkedLogin({ user, password }, way) {
  if (user === '' && password === '') return {}
  if (Buffer.byteLength(user) > LONGEST_LOGIN || Buffer.byteLength(password) > LONGEST_LOGIN)
    throw invalid('its user or password has more than 255 bytes')
  if (way === SOCKS4) {
    if (password !== '') throw invalid('SOCKS4 has users, but no passwords')
    if (user.includes('\0')) throw invalid('its user has a character that SOCKS4 has none for')
    return { user }
  }
  if (user === '' || password === '') throw invalid('SOCKS5 wants both user and password, or neither')
  return { user, password }
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

/** @param {string} text */
function checkedUrl(text) {
  let url
  try {
    url = new URL(text)
  } catch {
    throw invalid('it must be one such as http://127.0.0.1:3128')
  }
  if (KINDS[url.protocol] === undefined) throw invalid(`${url.protocol}// proxies are not supported`)
  if (url.hostname === '') throw invalid('it has no host')
  if (url.pathname.length > 1 || url.search !== '' || url.hash !== '')
    throw invalid('it has more than a host and a port')
  return url
}

module.exports = { AgentProxy, checkedUrl, invalid, linesOf }
