'use strict'

// Which requests the fast way takes: those whose options say nothing that it cannot carry, over an agent of ours that the
// engine carries. What is not simple from the start is the runtime's from the start.
//
// What a request's options come to is its template. Most requests of a program are like former ones, so an agent keeps the
// templates that it had last, by their paths; nothing in a template changes.

const { fallbackReason } = require('../client-request/fallback-reasons.js')
const { ClientRequest, knowsClientRequest } = require('../runtime/genuine.js')
const { isPlain, leavesTarget, plainName } = require('../common/options/merge.js')
const { checkTimeout } = require('../common/options/validate.js')
const { hasOneWay, isNothing, kProxy } = require('../common/proxies/option.js')
const { originsOf } = require('../agent/origins.js')
const { hasListeners, ignoresAgents, quietly } = require('../runtime/probes.js')
const { headOf, isSimpleHost } = require('./head.js')

/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../agent/origins.js').Origins} Origins */
/** @typedef {Record<string, any>} Options */

/**
 * What tells http from https.
 * @typedef {object} Scheme
 * @property {string} protocol
 * @property {any} Agent ours
 * @property {Function} addRequest as our agents have it
 * @property {Function} getName as our agents have it
 * @property {(options: Options) => boolean} isSilent whether a request's options say nothing of security
 * @property {(agent: any) => object | undefined} settingsOf how an agent's connections are secured: the same object as
 *   long as it does not change; undefined: that must be found out for each request
 * @property {(agent: any, origins: Origins, template: Template) => Origin | undefined} find where it goes; undefined: only the
 *   runtime can take it there
 * @property {(agent: any, options: Options) => boolean} refuses whether only the runtime can do what options say of security
 */

const DIGITS = /^\d{1,5}$/
const MOST_TEMPLATES = 256
/** What one may weigh that is kept: paths and headers are texts of any length. */
const LONGEST_KEPT = 2048
/** Fields that must not outlive their request. */
const CREDENTIALS = new Set(['authorization', 'proxy-authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token'])
/** @type {Options} */
const NO_HEADERS = Object.freeze({})

class Template {
  /** @type {Origin | undefined} */
  origin = undefined

  /**
   * @param {Scheme} scheme
   * @param {object | undefined} settings
   * @param {Options} options as they were given
   * @param {Options} target what the runtime's constructor makes the same request of
   * @param {string} name of its origin, as an http agent has it
   * @param {ReturnType<typeof headOf> & {}} head
   */
  constructor(scheme, settings, options, target, name, head) {
    this.scheme = scheme
    this.settings = settings
    this.method = target.method
    this.options = target
    this.name = name
    this.head = head
    this.givenMethod = options.method
    this.givenPort = options.port
    this.headerNames = Object.keys(target.headers ?? NO_HEADERS)
    this.headerValues = Object.values(target.headers ?? NO_HEADERS)
  }

  /**
   * Whether it is what these options come to as well.
   * @param {string} host
   * @param {Options} options
   * @param {object | undefined} settings
   */
  fits(host, { headers, method, port }, settings) {
    return (
      this.options.host === host &&
      this.givenPort === port &&
      this.givenMethod === method &&
      this.settings === settings &&
      settings !== undefined &&
      /** @type {Origin} */ (this.origin).key !== 0 &&
      this.#hasHeaders(headers)
    )
  }

  /** @param {Options | undefined} headers */
  #hasHeaders(headers) {
    if (headers === undefined || this.options.headers === undefined) return headers === this.options.headers
    if (!areNamed(headers)) return false
    const names = Object.keys(headers)
    if (names.length !== this.headerNames.length) return false
    for (let at = 0; at < names.length; at += 1) {
      if (names[at] !== this.headerNames[at] || headers[names[at]] !== this.headerValues[at]) return false
    }
    return true
  }
}

/** Takes requests nowhere. */
const nowhere = Object.freeze({
  addRequest() {},
  defaultPort: 80,
  protocol: 'http:',
  keepAlive: true,
  maxSockets: Number.POSITIVE_INFINITY,
  options: Object.freeze({}),
})

/**
 * An object of the runtime's own class of requests that is none: it goes nowhere, and nobody hears of it.
 * @param {Options} options
 * @returns {any}
 */
function unsent(options) {
  let made
  quietly(() => {
    made = new ClientRequest({ ...options, agent: nowhere })
  })
  return made
}

/** Whether heads made here are what the runtime makes. */
function speaksAlike() {
  const headers = { Accept: '*/*', 'x-Number': 5 }
  for (const [method, body] of [['GET'], ['DELETE'], ['POST'], ['PUT', 'body']]) {
    const port = 8080
    const theirs = unsent({ method, path: '/a?b', host: 'example.com', port, headers })
    theirs.end(body)
    const ours = headOf(String(method), '/a?b', 'example.com', port, 80, headers)
    if (theirs._header !== ours?.text(body?.length ?? 0)) return false
  }
  return true
}

/** @type {boolean | undefined} */
let isUsable

/** Whether this runtime's requests can be done without. */
function usable() {
  isUsable ??= !ignoresAgents && knowsClientRequest && speaksAlike()
  return isUsable
}

/** What a request with nothing unusual looks like to fallbackReason(). */
const usualRequest = Object.freeze({
  method: 'GET',
  getHeader: () => undefined,
  _header: null,
  insecureHTTPParser: undefined,
  httpValidation: undefined,
})

/**
 * Whether options say nothing but what a fast request can do.
 * @param {string} protocol
 * @param {Options} options
 */
function isSimple(protocol, options) {
  return (
    options.auth === undefined &&
    options.setHost === undefined &&
    options.setDefaultHeaders === undefined &&
    options.timeout === undefined &&
    options.createConnection === undefined &&
    options.maxHeaderSize === undefined &&
    options.maxResponseSize === undefined &&
    options.insecureHTTPParser === undefined &&
    options.httpValidation === undefined &&
    options.joinDuplicateHeaders === undefined &&
    options.uniqueHeaders === undefined &&
    options.highWaterMark === undefined &&
    options.defaultPort === undefined &&
    options.noDelay === undefined &&
    options.keepAlive === undefined &&
    options._defaultAgent === undefined &&
    isNothing(options.proxy) &&
    (options.protocol === undefined || options.protocol === protocol) &&
    isPlain(options)
  )
}

/**
 * @param {Scheme} scheme
 * @param {any} agent
 */
function isOurs({ Agent, addRequest, getName, protocol }, agent) {
  return (
    agent instanceof Agent &&
    agent.addRequest === addRequest &&
    agent.getName === getName &&
    agent.protocol === protocol &&
    (agent.keepAlive || Number.isFinite(agent.maxSockets)) &&
    hasOneWay(agent)
  )
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

/**
 * @param {Scheme} scheme
 * @param {any} agent
 * @param {Options} options
 * @returns {Template | undefined} undefined: not what the fast way takes
 */
function templateOf(scheme, agent, options) {
  const { protocol } = scheme
  if (!usable() || !isOurs(scheme, agent) || !isSimple(protocol, options) || !scheme.isSilent(options)) return undefined
  if (hasListeners()) return undefined
  checkTimeout(agent.options)
  if (!isText(options.hostname) || !isText(options.host) || !isText(options.method)) return undefined
  const host = options.hostname || options.host || 'localhost'
  const path = options.path || '/'
  const settings = scheme.settingsOf(agent)
  const origins = originsOf(agent)
  origins.syncOptions()
  const known = origins.templates.get(path)
  const template = known?.fits(host, options, settings)
    ? known
    : newTemplate(scheme, settings, agent, options, host, path)
  if (template?.origin === undefined || template.origin.legacyReason !== undefined || !leavesTarget(agent.options))
    return undefined
  return fallbackReason(agent, usualRequest, template.options, true, agent[kProxy]) === undefined ? template : undefined
}

/** What the runtime takes for a host and a method, be it nothing. @param {unknown} value */
function isText(value) {
  return value === undefined || value === null || typeof value === 'string'
}

/** Whether headers are an object of names: lists of lines are something else to the runtime. @param {unknown} headers */
function areNamed(headers) {
  return typeof headers === 'object' && headers !== null && !Array.isArray(headers)
}

/**
 * @param {Scheme} scheme
 * @param {object | undefined} settings
 * @param {any} agent
 * @param {Options} options
 * @param {unknown} host
 * @param {unknown} path
 */
function newTemplate(scheme, settings, agent, options, host, path) {
  const { headers } = options
  if (headers !== undefined && !areNamed(headers)) return undefined
  const method = options.method || 'GET'
  const port = portOf(options.port, agent.defaultPort)
  if (port === 0 || !isSimpleHost(host) || typeof path !== 'string' || typeof method !== 'string') return undefined
  const own = headers === undefined ? undefined : { ...headers }
  const head = headOf(method, path, String(host), port, agent.defaultPort, own)
  if (head === undefined) return undefined
  const target = { protocol: scheme.protocol, method, path, host, port, headers: own }
  const name = plainName(agent.options, target)
  if (name === undefined) return undefined
  const origins = originsOf(agent)
  const template = new Template(scheme, settings, options, target, name, head)
  template.origin = scheme.find(agent, origins, template)
  if (template.origin === undefined) return undefined
  if (!isKept(path, template)) return template
  const { templates } = origins
  if (templates.size >= MOST_TEMPLATES) templates.clear()
  templates.set(path, template)
  return template
}

/**
 * Whether a template may wait for the next request like it.
 * @param {string} path
 * @param {Template} template
 */
function isKept(path, { headerNames, headerValues }) {
  let weight = path.length
  for (let at = 0; at < headerNames.length; at += 1) {
    if (CREDENTIALS.has(headerNames[at].toLowerCase())) return false
    weight += headerNames[at].length + String(headerValues[at]).length
  }
  return weight <= LONGEST_KEPT
}

module.exports = { isSimple, Template, templateOf, unsent, usualRequest }
