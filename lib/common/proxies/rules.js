'use strict'

// Rules by which requests find their proxies: one for all, what a function says of each, or what the environment says.

const { lazy } = require('../../runtime/lazy.js')
const { invalidValue, optionError } = require('../errors.js')
const { AgentProxy, checkedUrl, invalid } = require('./agent-proxy.js')

/** @typedef {Record<string, any>} Options */

/** What an agent, or a request, says of proxies. @typedef {AgentProxy | ProxyChoice | ProxyEnv} Rule */

/** The URL of each proxy, with its credentials: for who has to know which one has failed. @type {WeakMap<AgentProxy, string>} */
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

const environments = lazy(() => require('./environment.js'))

/** What environment variables say, read once. */
class ProxyEnv {
  #named
  /** What is not excepted goes through it; undefined: the environment names none. */
  proxy

  /**
   * @param {Options} env
   * @param {string} protocol of the targets
   * @param {import('./environment.js').Reading} [reading]
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

module.exports = { KnownProxies, ProxyChoice, ProxyEnv, urls }
