'use strict'

// The options `proxy`, `proxyEnv`, `proxyHeaders` and `proxyTls` of agents, and of single requests. `agent.options`, which programs
// print and copy, has an object in their place that shows no credentials and stands for the same proxy in another agent's options.

const { isIP } = require('node:net')

const { coded, invalidValue, notA, optionError, throwSoon } = require('./errors.js')
const { lazy } = require('../runtime/lazy.js')
const { crypto } = require('../runtime/late.js')

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

/** As the engine counts them: src/bridge/port.rs. */
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

/** Where an agent keeps its rule. */
const kProxy = Symbol('keepwire.proxy')

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

/** The URL of each, with its credentials: for who has to know which one has failed. @type {WeakMap<AgentProxy, string>} */
const urls = new WeakMap()

/** Proxies that are kept by the texts that name them. */
const MOST_KNOWN = 256

/** Proxies by the texts that name them: what tells them apart takes longer to work out than a request. */
class KnownProxies {
  /** @type {Map<string, AgentProxy>} */
  #byUrl = new Map()
  #headers
  #tls

  /**
   * @param {Options | undefined} [headers]
   * @param {Options | undefined} [tls]
   */
  constructor(headers, tls) {
    this.#headers = headers
    this.#tls = tls
  }

  /**
   * @param {unknown} given
   * @param {boolean} isOnlyOne whether all that is said of TLS is said of it
   */
  find(given, isOnlyOne) {
    if (given instanceof AgentProxy) return given
    if (typeof given !== 'string' && !(given instanceof URL)) {
      const message = 'The "proxy" argument must be a URL, a function or of type string'
      throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', message)
    }
    const text = String(given)
    const known = this.#byUrl.get(text)
    if (known !== undefined) return known
    const url = checkedUrl(text)
    if (isOnlyOne && this.#tls !== undefined && url.protocol !== 'https:')
      throw invalidValue('proxyTls', '…', 'needs an https proxy')
    const proxy = new AgentProxy(url, this.#headers, url.protocol === 'https:' ? this.#tls : undefined)
    urls.set(proxy, text)
    if (this.#byUrl.size >= MOST_KNOWN) this.#byUrl.clear()
    this.#byUrl.set(text, proxy)
    return proxy
  }
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

/** A function that says what each request goes through. */
class ProxyChoice {
  #choose
  #known

  /**
   * @param {(url: URL) => unknown} choose
   * @param {KnownProxies} known
   */
  constructor(choose, known) {
    this.#choose = choose
    this.#known = known
  }

  /**
   * @param {string} url of the target
   * @returns {AgentProxy | undefined | Promise<AgentProxy | undefined>} undefined: nothing
   */
  for(url) {
    try {
      const chosen = /** @type {any} */ (this.#choose(new URL(url)))
      if (typeof chosen?.then !== 'function') return this.#take(chosen)
      return Promise.resolve(chosen).then((/** @type {unknown} */ given) => this.#take(given))
    } catch (error) {
      // Of the request, whenever it comes.
      return Promise.reject(error)
    }
  }

  /** @param {unknown} given */
  #take(given) {
    return given === undefined || given === null ? undefined : this.#known.find(given, false)
  }

  toString() {
    return 'a function'
  }
}

const environments = lazy(() => require('./proxy-env.js'))

/** What environment variables say, read once. */
class ProxyEnv {
  #named
  /** What is not excepted goes through it; undefined: the environment names none. */
  proxy

  /**
   * @param {Options} env
   * @param {string} protocol of the targets
   * @param {import('./proxy-env.js').Reading} [reading]
   */
  constructor(env, protocol, reading) {
    const { Named, node } = environments()
    this.#named = new Named(env, protocol, reading ?? node)
    const { text, url } = this.#named
    if (text !== undefined && /[\r\n]/.test(text)) throw invalid('it has a line break')
    this.proxy = url === undefined ? undefined : fromEnv(url)
  }

  /**
   * @param {unknown} host
   * @param {unknown} port
   */
  of(host, port) {
    return this.proxy === undefined || this.#named.excepts(host, port) ? undefined : this.proxy
  }
}

/** @param {string} text */
function fromEnv(text) {
  let url
  try {
    url = new URL(text)
  } catch {
    throw invalid('it must be one such as http://127.0.0.1:3128')
  }
  // As to the runtime, a path means nothing.
  const proxy = new AgentProxy(url, undefined, undefined)
  urls.set(proxy, text)
  return proxy
}

/** What an agent, or a request, says of proxies. @typedef {AgentProxy | ProxyChoice | ProxyEnv} Rule */

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
  AgentProxy,
  hasOneWay,
  isNothing,
  keepProxy,
  kProxy,
  mayBeProxied,
  notProxied,
  ProxyEnv,
  proxyFor,
  proxyOf,
  suffixOf,
  tellProxyError,
}
