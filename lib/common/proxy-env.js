'use strict'

// Proxies that environment variables name, as Node's http module reads them: parseProxyConfigFromEnv() of its internal/http.

const { isIPv4 } = require('node:net')

/** @typedef {Record<string, any>} Options */

/**
 * The proxy that an environment names for a scheme.
 * @param {Options} env
 * @param {string} protocol of the target
 * @returns {string | undefined}
 */
function proxyIn(env, protocol) {
  // Lower case first, as most programs have it.
  const url = protocol === 'https:' ? env.https_proxy || env.HTTPS_PROXY : env.http_proxy || env.HTTP_PROXY
  return url ? String(url) : undefined
}

/** Targets that are not for a proxy: what NO_PROXY says. */
class Exceptions {
  /** @type {string[]} */
  #entries
  #isLoose

  /**
   * @param {Options} env
   * @param {boolean} [isLoose] whether `example.com` is all that ends with it, too, as it is to Bun, Deno and curl
   */
  constructor(env, isLoose = false) {
    const list = env.no_proxy || env.NO_PROXY
    this.#entries = list
      ? String(list)
          .split(',')
          .map((entry) => entry.trim().toLowerCase())
      : []
    this.#isLoose = isLoose
  }

  /**
   * Whether a target is one of them.
   * @param {unknown} hostname without brackets
   * @param {unknown} port
   */
  has(hostname, port) {
    if (this.#entries.length === 0) return false
    const host = String(hostname || 'localhost').toLowerCase()
    const withPort = port ? `${host}:${port}` : host
    return this.#entries.some((entry) => isMeant(entry, host, withPort) || (this.#isLoose && isBelow(entry, host)))
  }
}

/**
 * @param {string} entry
 * @param {string} host
 * @param {string} withPort
 */
function isMeant(entry, host, withPort) {
  if (entry === '*' || entry === host || entry === withPort) return true
  if (entry[0] === '.') return host === entry.slice(1) || host.endsWith(entry)
  if (entry.startsWith('*.')) return host.endsWith(entry.slice(1))
  if (!entry.includes('-') || !isIPv4(host)) return false
  const [first, last] = entry.split('-').map((part) => part.trim())
  if (!isIPv4(first) || !isIPv4(last)) return false
  const address = numberOf(host)
  return address >= numberOf(first) && address <= numberOf(last)
}

/**
 * @param {string} entry
 * @param {string} host
 */
function isBelow(entry, host) {
  return entry !== '' && host.endsWith(`.${entry}`)
}

/** @param {string} address */
function numberOf(address) {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
}

module.exports = { Exceptions, proxyIn }
