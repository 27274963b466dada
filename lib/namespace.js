'use strict'

// Stands in for node:http or node:https: everything it exports, with our Agent, and requests that default to our
// globalAgent. Whatever is looked up in the runtime's module is looked up when it is used, so that patches of it apply.

const { globalProxyEnv } = require('./runtime.js')

const GLOBAL_TIMEOUT_MS = 5000

/**
 * The request() that a runtime's module had when install() put ours in its place. What wraps the module's from then on
 * wraps ours, which therefore must not call it.
 * @type {Map<any, Function>}
 */
const replaced = new Map()

/** The runtime's modules that have our request() now. @type {Set<any>} */
const inPlace = new Set()

/**
 * Whether the runtime would read it as a URL and not as options.
 * @param {any} input
 */
function isUrl(input) {
  if (typeof input === 'string' || input instanceof URL) return true
  return Boolean(input?.href && input.protocol && input.auth === undefined && input.path === undefined)
}

/** As modules export it. @param {unknown} value */
function exported(value) {
  return { value, writable: true, enumerable: true, configurable: true }
}

/**
 * @param {any} module the runtime's
 * @param {any} Agent ours
 * @param {((agent: any, input: any, options: any, callback: any) => any) | undefined} [own] our own request(); it answers
 *   undefined for what it leaves to the runtime's
 * @returns {any}
 */
function standIn(module, Agent, own) {
  const runtimeRequest = module.request
  let globalAgent = new Agent({
    keepAlive: true,
    scheduling: 'lifo',
    timeout: GLOBAL_TIMEOUT_MS,
    proxyEnv: globalProxyEnv(),
  })

  /**
   * The runtime's request(), with our globalAgent where none is given.
   * @param {any} input
   * @param {any} [options]
   * @param {any} [callback]
   */
  function request(input, options, callback) {
    const theirs = replaced.get(module) ?? module.request
    const agent = defaultAgent()
    // Who has wrapped the runtime's request() wants to see all requests.
    const req = theirs === runtimeRequest ? own?.(agent, input, options, callback) : undefined
    return req ?? theirs(...withDefaults(input, options, callback))
  }

  /**
   * The same arguments, with our globalAgent where none is given.
   * @param {any} input
   * @param {any} options
   * @param {any} callback
   */
  function withDefaults(input, options, callback) {
    if (!isUrl(input)) return [withAgent(input), options]
    if (typeof options === 'function') return [input, withAgent(undefined), options]
    return [input, withAgent(options), callback]
  }

  /** In the runtime's place, ours heeds its globalAgent, which its users may set. */
  function defaultAgent() {
    return inPlace.has(module) ? module.globalAgent : globalAgent
  }

  /** @param {any} options */
  function withAgent(options) {
    const agent = options?.agent
    const globalAgent = defaultAgent()
    // https.request() puts the runtime's global agent in place of any other default.
    if (agent === false) return { ...options, agent: new globalAgent.constructor() }
    const isDefault = (agent === undefined || agent === null) && typeof options?.createConnection !== 'function'
    return isDefault ? { ...options, agent: globalAgent } : options
  }

  /**
   * @param {any} input
   * @param {any} [options]
   * @param {any} [callback]
   */
  function get(input, options, callback) {
    const req = request(input, options, callback)
    req.end()
    return req
  }

  const { ClientRequest: RuntimeRequest } = module

  /**
   * The class of requests. What is made of it is what request() gives; what a subclass makes of it is the runtime's, with
   * our globalAgent where none is given.
   * @this {any}
   * @param {any} input
   * @param {any} [options]
   * @param {any} [callback]
   */
  function ClientRequest(input, options, callback) {
    if (new.target === ClientRequest) return request(input, options, callback)
    const given = withDefaults(input, options, callback)
    // By the name of a class, as before there was `class`, or by `super`.
    return new.target === undefined
      ? RuntimeRequest.apply(this, given)
      : Reflect.construct(RuntimeRequest, given, new.target)
  }

  const namespace = Object.defineProperties({}, Object.getOwnPropertyDescriptors(module))
  if (RuntimeRequest !== undefined) {
    ClientRequest.prototype = RuntimeRequest.prototype
    Object.setPrototypeOf(ClientRequest, RuntimeRequest)
    Object.defineProperty(namespace, 'ClientRequest', exported(ClientRequest))
  }
  return Object.defineProperties(namespace, {
    Agent: exported(Agent),
    request: exported(request),
    get: exported(get),
    globalAgent: {
      get: () => globalAgent,
      set: (agent) => {
        globalAgent = agent
      },
      enumerable: true,
      configurable: true,
    },
  })
}

module.exports = { inPlace, replaced, standIn }
