'use strict'

// Stands in for node:http or node:https: everything it exports, with our Agent, and requests that default to our
// globalAgent. Whatever is looked up in the runtime's module is looked up when it is used, so that patches of it apply.

const { ClientRequest: RuntimeRequest, isGenuine, kStandsFor } = require('./genuine.js')
const { globalProxyEnv } = require('./runtime.js')

const GLOBAL_TIMEOUT_MS = 5000

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

/**
 * What makes the functions that install() puts into a runtime's module, of those that it puts aside. They are other ones than
 * the stand-in's, which call what the module has: that may be a wrapper around these.
 * @type {Map<any, (runtime: () => any) => Record<string, any>>}
 */
const places = new Map()

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
  let globalAgent = new Agent({
    keepAlive: true,
    scheduling: 'lifo',
    timeout: GLOBAL_TIMEOUT_MS,
    proxyEnv: globalProxyEnv(),
  })

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
   * Our request(), get() and ClientRequest. Where somebody has replaced the runtime's, that one is called, with our
   * globalAgent where none is given: who traces or mocks requests wants to see them all.
   * @param {() => any} runtime what has the functions that ours stand for, as they are now
   */
  function functionsOver(runtime) {
    /**
     * @param {any} input
     * @param {any} [options]
     * @param {any} [callback]
     */
    function request(input, options, callback) {
      const theirs = runtime().request
      const req = isGenuine('request', theirs) ? own?.(defaultAgent(), input, options, callback) : undefined
      return req ?? theirs.apply(module, withDefaults(input, options, callback))
    }

    /**
     * @param {any} input
     * @param {any} [options]
     * @param {any} [callback]
     */
    function get(input, options, callback) {
      const theirs = runtime().get
      const req = isGenuine('get', theirs) ? own?.(defaultAgent(), input, options, callback) : undefined
      if (req === undefined) return theirs.apply(module, withDefaults(input, options, callback))
      req.end()
      return req
    }

    /**
     * The class of requests. What is made of it is what request() gives; what a subclass makes of it is the runtime's, with
     * our globalAgent where none is given.
     * @this {any}
     * @param {any} input
     * @param {any} [options]
     * @param {any} [callback]
     */
    function ClientRequest(input, options, callback) {
      const theirs = runtime().ClientRequest
      if (new.target === ClientRequest && theirs === RuntimeRequest) {
        const req = own?.(defaultAgent(), input, options, callback)
        if (req !== undefined) return req
      }
      const given = withDefaults(input, options, callback)
      // By the name of a class, as before there was `class`, or by `super`.
      return new.target === undefined
        ? theirs.apply(this, given)
        : Reflect.construct(theirs, given, new.target === ClientRequest ? theirs : new.target)
    }

    if (module.ClientRequest === undefined) return { request, get }
    ClientRequest.prototype = RuntimeRequest.prototype
    Object.setPrototypeOf(ClientRequest, RuntimeRequest)
    Object.defineProperty(ClientRequest, kStandsFor, { value: () => runtime().ClientRequest })
    return { request, get, ClientRequest }
  }

  places.set(module, functionsOver)

  const namespace = Object.defineProperties({}, Object.getOwnPropertyDescriptors(module))
  for (const [name, value] of Object.entries(functionsOver(() => module))) {
    Object.defineProperty(namespace, name, exported(value))
  }
  return Object.defineProperties(namespace, {
    Agent: exported(Agent),
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

module.exports = { inPlace, places, standIn }
