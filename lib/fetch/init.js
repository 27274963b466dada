'use strict'

// The second argument of fetch(), read as WebIDL reads a dictionary: each member once, inherited ones and getters included.
// A class instance, an Object.create() and a Request are as good as a literal.

const { notA } = require('../common/errors.js')
const { proxyOf } = require('../common/proxies/option.js')
const { runtimeOptions } = require('./platform.js')

/** The members of the standard, in the order in which WebIDL reads them. */
const STANDARD = /** @type {const} */ ([
  'body',
  'cache',
  'credentials',
  'duplex',
  'headers',
  'integrity',
  'keepalive',
  'method',
  'mode',
  'priority',
  'redirect',
  'referrer',
  'referrerPolicy',
  'signal',
  'window',
])

/** What is judged by a Request, and by nothing else. */
const JUDGED = /** @type {const} */ ([
  'cache',
  'credentials',
  'duplex',
  'integrity',
  'keepalive',
  'mode',
  'priority',
  'referrer',
  'referrerPolicy',
  'window',
])

/**
 * Whether an option of the runtime's is there. Deno's `client` is an object, ours a word; Bun's `proxy` is an object where ours is
 * none.
 * @param {unknown} value
 * @param {string} name
 */
function isGiven(value, name) {
  if (name === 'client') return value !== undefined && typeof value !== 'string'
  return value !== undefined && !(name === 'proxy' && isProxy(value))
}

/** Options that have the names of the runtime's. */
const OURS = new Set(['client', 'proxy'])

/** @param {unknown} value */
function isProxy(value) {
  return typeof value === 'string' || typeof value === 'function' || value instanceof URL || value === null
}

/** Every member by its own name: a shape that the simple calls are read from at little cost. */
class Init {
  /** @param {any} init */
  constructor(init) {
    this.agent = init.agent
    this.body = init.body
    this.cache = init.cache
    this.client = init.client
    this.credentials = init.credentials
    this.duplex = init.duplex
    this.headers = init.headers
    this.integrity = init.integrity
    this.keepalive = init.keepalive
    this.maxResponseSize = init.maxResponseSize
    this.method = init.method
    this.mode = init.mode
    this.onProxyError = init.onProxyError
    this.priority = init.priority
    this.proxy = init.proxy
    this.proxyHeaders = init.proxyHeaders
    this.proxyTls = init.proxyTls
    this.redirect = init.redirect
    this.referrer = init.referrer
    this.referrerPolicy = init.referrerPolicy
    this.signal = init.signal
    this.timeout = init.timeout
    this.window = init.window
    /** Whether an option is given that only the runtime's own fetch understands. */
    this.isForFallback = runtimeOptions.some((name) =>
      isGiven(OURS.has(name) ? this[/** @type {'client'} */ (name)] : init[name], name),
    )
  }

  /** What it says of proxies; null: nothing. @returns {Record<string, any> | null} */
  get proxying() {
    const { onProxyError, proxy, proxyHeaders, proxyTls } = this
    if (proxy === undefined || proxy === null) {
      if (proxyHeaders !== undefined || proxyTls !== undefined) proxyOf({ proxy, proxyHeaders, proxyTls })
      return onProxyError === undefined ? null : { onProxyError }
    }
    if (!isProxy(proxy)) proxyOf({ proxy })
    return { onProxyError, proxy, proxyHeaders, proxyTls }
  }

  /** Whether only a Request can judge it. */
  get isJudged() {
    return JUDGED.some((name) => this[name] !== undefined)
  }

  /** The standard's members that are there, for the runtime's Request. @returns {RequestInit} */
  standard() {
    /** @type {any} */
    const present = {}
    for (const name of STANDARD) if (this[name] !== undefined) present[name] = this[name]
    return present
  }
}

/**
 * @param {any} init
 * @returns {Init | null} null: there is none
 * @throws {TypeError} it can't be a dictionary
 */
function readInit(init) {
  if (init === undefined || init === null) return null
  if (typeof init !== 'object' && typeof init !== 'function') {
    // Bun takes it for none. The others' Request says what is wrong with it.
    void new Request('http://localhost/', init)
    return null
  }
  return new Init(init)
}

/**
 * The members of an init as own properties of one object, those that nobody knows by name included if they are own.
 * @param {any} init
 * @returns {any}
 */
function membersOf(init) {
  if (init === undefined || init === null) return {}
  if (typeof init !== 'object' && typeof init !== 'function') throw notA('object', 'init', init)
  const members = { ...init }
  for (const name of [
    ...STANDARD,
    ...runtimeOptions,
    'agent',
    'client',
    'proxy',
    'proxyHeaders',
    'proxyTls',
    'onProxyError',
    'timeout',
    'maxResponseSize',
    'retry',
    'allowOtherOrigins',
  ]) {
    if (Object.hasOwn(members, name)) continue
    const value = init[name]
    if (value !== undefined) members[name] = value
  }
  return members
}

module.exports = { Init, membersOf, readInit }
