'use strict'

// Which options apply: an agent's win over a request's, as in the runtime; and the names that the runtime's agents make of them.

/** @typedef {Record<string, any>} Options */

/**
 * @param {Options} agentOptions
 * @param {Options} options a request's
 * @param {string} key
 */
function pick(agentOptions, options, key) {
  return key in agentOptions ? agentOptions[key] : options[key]
}

/**
 * All of them, as the runtime hands them to createSocket() and getName().
 * @param {Options} agentOptions
 * @param {Options} options a request's
 */
function merge(agentOptions, options) {
  /** @type {Options} */
  const merged = { __proto__: null, ...options, ...agentOptions }
  if (merged.socketPath) merged.path = merged.socketPath
  return merged
}

/**
 * What the runtime's getName() answers for merge(agentOptions, options), without the merge: that costs more than all
 * else in addRequest().
 * @param {Options} agentOptions
 * @param {Options} options a request's
 */
function nameOf(agentOptions, options) {
  const port = pick(agentOptions, options, 'port')
  const localAddress = pick(agentOptions, options, 'localAddress')
  const family = pick(agentOptions, options, 'family')
  const socketPath = pick(agentOptions, options, 'socketPath')
  let name = `${pick(agentOptions, options, 'host') || 'localhost'}:${port || ''}:${localAddress || ''}`
  if (family === 4 || family === 6) name += `:${family}`
  if (socketPath) name += `:${socketPath}`
  return name
}

/**
 * Whether options say no more about the connection than host and port: nearly always. Constant names cost a fraction of
 * what `pick` does.
 * @param {Options} options an agent's or a request's
 */
function isPlain(options) {
  return (
    options.socketPath === undefined &&
    options.family === undefined &&
    options.localAddress === undefined &&
    options.localPort === undefined &&
    options.typeOfService === undefined &&
    options.lookup === undefined &&
    options.allowAddress === undefined &&
    options.hints === undefined &&
    options.autoSelectFamily === undefined &&
    options.autoSelectFamilyAttemptTimeout === undefined &&
    options.proxyEnv === undefined &&
    options._proxy === undefined &&
    options.signal === undefined &&
    options.fd === undefined &&
    options.handle === undefined &&
    options.onread === undefined &&
    options.blockList === undefined
  )
}

/**
 * Whether an agent's options leave host and port to its requests, and say no more about connections.
 * @param {Options} own
 */
function leavesTarget(own) {
  return own.host === undefined && own.port === undefined && isPlain(own)
}

/**
 * nameOf() for options that are plain; undefined if they are not, or nothing the engine connects to.
 * @param {Options} own an agent's
 * @param {Options} options a request's
 */
function plainName(own, options) {
  const { host } = options
  if (typeof host !== 'string' || host === '') return undefined
  const port = plainPort(options.port)
  if (port < 0 || options.noDelay !== undefined || options.keepAlive !== undefined) return undefined
  if (!leavesTarget(own) || !isPlain(options) || host.includes('%')) return undefined
  return `${host}:${port}:`
}

/**
 * A port as names have it: a number, or its digits, as a URL says it.
 * @param {unknown} port
 * @returns {number} -1: it is neither
 */
function plainPort(port) {
  const number = typeof port === 'string' && port.length <= 5 ? +port : port
  if (typeof number !== 'number' || (number & 0xffff) !== number) return -1
  // '080' is another name for the same port.
  return number === port || String(number) === port ? number : -1
}

module.exports = { isPlain, leavesTarget, merge, nameOf, pick, plainName }
