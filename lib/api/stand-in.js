'use strict'

// Stands in for node:http or node:https: everything it exports, with our Agent, and requests that default to our
// globalAgent. Whatever is looked up in the runtime's module is looked up when it is used, so that patches of it apply.

const http = require('node:http')

const {
  ClientRequest: RuntimeRequest,
  firstGlobalAgent,
  isGenuine,
  kStandsFor,
  RuntimeAgent,
  runtimeSecureAgent,
} = require('../runtime/genuine.js')
const { limitResponse, mostOf } = require('../exchange/response-size.js')
const { globalProxyEnv, ignoresAgents } = require('../runtime/probes.js')
const { warnOfGlobalAgent } = require('../common/warnings.js')

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
 * @typedef {object} Place
 * @property {(runtime: () => any) => Record<string, any>} functionsOver makes the functions that install() puts into a module,
 *   of those that it puts aside. They are other ones than the stand-in's, which call what the module has: that may be a
 *   wrapper around these.
 * @property {() => boolean} takeOver has our globalAgent do as the module's was told to; false: that one is somebody's own
 */

/** By the runtime's module. @type {Map<any, Place>} */
const places = new Map()

/** A globalAgent's options where the runtime's own does not say how the runtime pools. */
const USUAL = Object.freeze({ keepAlive: true, scheduling: 'lifo', timeout: GLOBAL_TIMEOUT_MS })
/** Options that its class decides. */
const OF_CLASS = new Set(['defaultPort', 'protocol'])
/** What agents also have as properties, which may be set later. */
const PROPERTIES = [
  'keepAlive',
  'keepAliveMsecs',
  'scheduling',
  'maxSockets',
  'maxTotalSockets',
  'maxFreeSockets',
  'maxCachedSessions',
]

/**
 * What a globalAgent does, as options.
 * @param {any} agent
 */
function optionsOf(agent) {
  /** @type {Record<string, any>} */
  const options = { ...agent.options }
  for (const key of PROPERTIES) if (agent[key] !== undefined) options[key] = agent[key]
  return options
}

/**
 * What a program has told a globalAgent.
 * @param {any} agent
 * @param {Record<string, unknown>} before its options before
 */
function toldTo(agent, before) {
  /** @type {Record<string, any>} */
  const told = {}
  for (const [key, value] of Object.entries(optionsOf(agent))) {
    if (value !== undefined && before[key] !== value && !OF_CLASS.has(key)) told[key] = value
  }
  return told
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
  const Usual = module === http ? RuntimeAgent : runtimeSecureAgent()
  /** Made when somebody wants it: until then the program may tell the runtime's what to do. @type {any} */
  let globalAgent
  /** The module's, when ours was last compared with it. @type {any} */
  let seen
  let isAssigned = false
  /** Somebody's own, which was the module's when the first request named none. @type {any} */
  let theirsInstead
  // Node before 19 keeps no connections unless it is told to.
  const first = module === http ? firstGlobalAgent : module.globalAgent
  const isTelling = !ignoresAgents && !isSomebodys(first)
  const usual = isTelling ? { ...first.options, proxyEnv: undefined } : USUAL
  const before = optionsOf(new Usual(ignoresAgents ? {} : usual))

  function ourGlobalAgent() {
    const { globalAgent: theirs } = module
    if (globalAgent !== undefined && (theirs === seen || isAssigned)) return globalAgent
    seen = theirs
    const isTheirs = isSomebodys(theirs)
    const told = isTheirs ? {} : toldTo(theirs, before)
    // How to reach a proxy is found out by the constructor: http.setGlobalProxyFromEnv() puts another agent in place.
    if (globalAgent !== undefined && (isTheirs || told.proxyEnv === (globalAgent.options.proxyEnv ?? undefined)))
      return globalAgent
    globalAgent = new Agent({ ...usual, proxyEnv: globalProxyEnv(), ...told })
    return globalAgent
  }

  /** Whether an agent does more than an http.Agent with options. @param {any} agent */
  function isSomebodys(agent) {
    if (agent === globalAgent) return false
    const { constructor: Class } = Object.getPrototypeOf(agent)
    // Another copy of this package may have put its own there.
    const isKnown = Class === Usual || Object.hasOwn(Class, kStandsFor)
    return !isKnown || Object.hasOwn(agent, 'createConnection')
  }

  function takeOver() {
    const { globalAgent: theirs } = module
    if (isSomebodys(theirs)) {
      warnOfGlobalAgent(module === http ? 'http' : 'https', theirs)
      return false
    }
    if (isAssigned || globalAgent === undefined || theirs === globalAgent) return true
    const told = toldTo(theirs, before)
    // How to reach a proxy is found out by the constructor.
    if (told.proxyEnv !== globalAgent.options.proxyEnv) globalAgent = undefined
    else {
      Object.assign(globalAgent.options, told)
      for (const key of PROPERTIES) if (told[key] !== undefined) globalAgent[key] = told[key]
    }
    return true
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

  /**
   * A request of the runtime's, over our globalAgent where no agent is given. Of another agent it has what ours would see
   * to: `maxResponseSize`.
   * @param {(given: any[]) => any} make
   * @param {any} input
   * @param {any} options
   * @param {any} callback
   */
  function limited(make, input, options, callback) {
    const most = mostOf((isUrl(input) ? options : input)?.maxResponseSize)
    const req = make(withDefaults(input, options, callback))
    if (most !== 0) limitResponse(req, most)
    return req
  }

  /** In the runtime's place, ours heeds its globalAgent, which its users may set. */
  function defaultAgent() {
    if (inPlace.has(module)) return module.globalAgent
    if (theirsInstead === undefined && globalAgent === undefined && isSomebodys(module.globalAgent)) {
      takeOver()
      theirsInstead = module.globalAgent
    }
    return theirsInstead ?? ourGlobalAgent()
  }

  /** @param {any} options */
  function withAgent(options) {
    const agent = options?.agent
    // https.request() heeds no other default than its own.
    const globalAgent = (module === http && options?._defaultAgent) || defaultAgent()
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
      return req ?? limited((given) => theirs.apply(module, given), input, options, callback)
    }

    /**
     * @param {any} input
     * @param {any} [options]
     * @param {any} [callback]
     */
    function get(input, options, callback) {
      const theirs = runtime().get
      const req = isGenuine('get', theirs) ? own?.(defaultAgent(), input, options, callback) : undefined
      if (req === undefined) return limited((given) => theirs.apply(module, given), input, options, callback)
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
      // By the name of a class, as before there was `class`, or by `super`.
      const make = (/** @type {any[]} */ given) =>
        new.target === undefined
          ? theirs.apply(this, given)
          : Reflect.construct(theirs, given, new.target === ClientRequest ? theirs : new.target)
      return limited(make, input, options, callback)
    }

    if (module.ClientRequest === undefined) return { request, get }
    ClientRequest.prototype = RuntimeRequest.prototype
    Object.setPrototypeOf(ClientRequest, RuntimeRequest)
    Object.defineProperty(ClientRequest, kStandsFor, { value: () => runtime().ClientRequest })
    return { request, get, ClientRequest }
  }

  places.set(module, { functionsOver, takeOver })

  const functions = Object.entries(functionsOver(() => module)).map(([name, value]) => [name, exported(value)])
  return Object.defineProperties(
    {},
    {
      // Some programs freeze it.
      ...Object.getOwnPropertyDescriptors(module),
      ...Object.fromEntries(functions),
      Agent: exported(Agent),
      globalAgent: {
        get: ourGlobalAgent,
        set: (agent) => {
          globalAgent = agent
          theirsInstead = undefined
          isAssigned = true
        },
        enumerable: true,
        configurable: true,
      },
    },
  )
}

module.exports = { inPlace, places, standIn }
