'use strict'

// Proxies that environment variables name: as Node's http module reads them, parseProxyConfigFromEnv() of its internal/http; and as the
// fetches of Bun and Deno do, each with rules of its own.

const { BlockList, isIP, isIPv4 } = require('node:net')

/** @typedef {Record<string, any>} Options */

/**
 * How a runtime reads an environment.
 * @typedef {object} Reading
 * @property {(protocol: string) => string[]} names of variables that name a proxy for a target's scheme, the first one first
 * @property {string[]} exceptions the same of those that name exceptions
 * @property {(text: string) => string | undefined} urlOf a proxy's; undefined: what is named is none
 * @property {(list: string) => (host: string, port: string) => boolean} judge whether a target is excepted; its host is in lower case, and
 *   has no brackets
 */

/** @param {string} protocol */
const lowerFirst = (protocol) => (protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY'] : ['http_proxy', 'HTTP_PROXY'])

/** @type {Reading} */
const node = {
  names: lowerFirst,
  exceptions: ['no_proxy', 'NO_PROXY'],
  // Others are their users' to handle, as the runtime has it.
  urlOf: (text) => (/^https?:\/\//.test(text) ? text : undefined),
  judge(list) {
    const entries = list.split(',').map((entry) => entry.trim().toLowerCase())
    return (host, port) => entries.some((entry) => isMeantByNode(entry, host, port ? `${host}:${port}` : host))
  },
}

/** @type {Reading} */
const bun = {
  names: (protocol) => [...lowerFirst(protocol), 'all_proxy', 'ALL_PROXY'],
  exceptions: ['no_proxy', 'NO_PROXY'],
  urlOf: (text) => node.urlOf(withScheme(text)),
  judge(list) {
    const entries = list
      .split(/[\s,]+/)
      .map((entry) => bunsEntry(entry.toLowerCase()))
      .filter((entry) => entry.name !== '')
    return (host, port) => {
      const name = host.replace(/\.$/, '')
      return entries.some((entry) => (entry.port === undefined || entry.port === port) && isMeantByBun(entry, name))
    }
  },
}

/** ext/fetch/proxy.rs of Deno. @type {Reading} */
const deno = {
  names: (protocol) => ['ALL_PROXY', 'all_proxy', ...lowerFirst(protocol).reverse()],
  exceptions: ['NO_PROXY', 'no_proxy'],
  urlOf(text) {
    const url = withScheme(text)
    // Names are the proxy's to resolve.
    if (/^socks5h?:/.test(url)) return url.replace(/^socks5:/, 'socks5h:')
    return node.urlOf(url)
  },
  judge(list) {
    const entries = list.split(',').map((entry) => entry.trim())
    const addresses = entries.filter((entry) => isIP(entry.split('/', 1)[0]) !== 0)
    const names = entries.filter((entry) => !addresses.includes(entry))
    return (host) =>
      isIP(host) === 0
        ? names.some((name) => isMeantByDeno(name, host))
        : addresses.some((entry) => isWithin(entry, host))
  },
}

/** @param {string} text */
function withScheme(text) {
  return text.includes('://') ? text : `http://${text}`
}

/**
 * @param {string} entry
 * @param {string} host
 * @param {string} withPort
 */
function isMeantByNode(entry, host, withPort) {
  if (entry === '*' || entry === host || entry === withPort) return true
  if (entry[0] === '.') return host === entry.slice(1) || host.endsWith(entry)
  if (entry.startsWith('*.')) return host.endsWith(entry.slice(1))
  if (!entry.includes('-') || !isIPv4(host)) return false
  const [first, last] = entry.split('-').map((part) => part.trim())
  if (!isIPv4(first) || !isIPv4(last)) return false
  const address = numberOf(host)
  return address >= numberOf(first) && address <= numberOf(last)
}

/** @param {string} entry */
function bunsEntry(entry) {
  const [, host, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? [undefined, entry, undefined]
  const name = String(host).replace(/^\[(.*)\]$/, '$1')
  return { name: name.replace(/^(?:\*\.|\.)/, '').replace(/\.$/, ''), port }
}

/**
 * @param {{ name: string, port: string | undefined }} entry
 * @param {string} host
 */
function isMeantByBun({ name, port }, host) {
  if (name === host || (name === '*' && port === undefined)) return true
  return isIP(host) === 0 ? host.endsWith(`.${name}`) : isWithin(name, host)
}

/**
 * @param {string} name
 * @param {string} host
 */
function isMeantByDeno(name, host) {
  if (name === '*' || name === host || name === `.${host}`) return true
  return host.endsWith(name) && (name[0] === '.' || host[host.length - name.length - 1] === '.')
}

/**
 * Whether an address is another, or of a network, as in 10.0.0.0/8.
 * @param {string} network
 * @param {string} address
 */
function isWithin(network, address) {
  const [first, bits] = network.split('/')
  if (isIP(first) === 0 || isIP(first) !== isIP(address)) return false
  const family = isIPv4(first) ? 'ipv4' : 'ipv6'
  const most = isIPv4(first) ? 32 : 128
  const length = bits === undefined ? most : Number(bits)
  if (!/^\d*$/.test(bits ?? '') || length > most) return false
  const list = new BlockList()
  list.addSubnet(first, length, family)
  return list.check(address, family)
}

/** @param {string} address */
function numberOf(address) {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
}

/** What an environment says for the targets of one scheme. */
class Named {
  #isExcepted
  /** What names a proxy, as it was given; undefined: nothing does. */
  text
  /** The proxy's URL; undefined: none that its reader knows is named. */
  url

  /**
   * @param {Options} env
   * @param {string} protocol of the targets
   * @param {Reading} reading
   */
  constructor(env, protocol, { exceptions, judge, names, urlOf }) {
    this.text = firstOf(env, names(protocol))
    this.url = this.text === undefined ? undefined : urlOf(this.text)
    const list = firstOf(env, exceptions)
    this.#isExcepted = list === undefined ? () => false : judge(list)
  }

  /**
   * Whether a target is not for the proxy.
   * @param {unknown} hostname without brackets
   * @param {unknown} port
   */
  excepts(hostname, port) {
    return this.#isExcepted(String(hostname || 'localhost').toLowerCase(), port ? String(port) : '')
  }
}

/**
 * @param {Options} env
 * @param {string[]} names
 * @returns {string | undefined} the first that says something
 */
function firstOf(env, names) {
  const name = names.find((name) => env[name])
  return name === undefined ? undefined : String(env[name])
}

module.exports = { bun, deno, Named, node }
