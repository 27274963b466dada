'use strict'

// Stands in for node:http or node:https: everything it exports, with our Agent, and requests that default to our
// globalAgent. Whatever is looked up in the runtime's module is looked up when it is used, so that patches of it apply.

const { globalProxyEnv } = require('./runtime.js')

const GLOBAL_TIMEOUT_MS = 5000

/**
 * Whether the runtime would read it as a URL and not as options.
 * @param {any} input
 */
function isUrl(input) {
  if (typeof input === 'string' || input instanceof URL) return true
  return Boolean(input?.href && input.protocol && input.auth === undefined && input.path === undefined)
}

/**
 * @param {any} module the runtime's
 * @param {any} Agent ours
 * @returns {any}
 */
function standIn(module, Agent) {
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
    if (!isUrl(input)) return module.request(withAgent(input), options)
    if (typeof options === 'function') return module.request(input, withAgent(undefined), options)
    return module.request(input, withAgent(options), callback)
  }

  /** @param {any} options */
  function withAgent(options) {
    const agent = options?.agent
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

  const namespace = Object.defineProperties({}, Object.getOwnPropertyDescriptors(module))
  return Object.defineProperties(namespace, {
    Agent: { value: Agent, writable: true, enumerable: true, configurable: true },
    request: { value: request, writable: true, enumerable: true, configurable: true },
    get: { value: get, writable: true, enumerable: true, configurable: true },
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

module.exports = { standIn }
