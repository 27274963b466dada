'use strict'

// Options of agents and requests: which apply (an agent's win over a request's, as in the runtime), what of them the
// engine must know, and the defaults of the options that are ours.

const net = require('node:net')

const { unjudged } = require('./addresses.js')
const { AGENT, CONNECTION, namesOf } = require('./option-table.js')
const { nameCacheOf } = require('./dns-option.js')
const { breakerOf, checkPolicy } = require('./policy-option.js')
const { proxyOf } = require('./proxies/option.js')
const { dns } = require('../runtime/late.js')
const { invalidValue, notA, notANumber, outOfRange } = require('./errors.js')
const {
  defaultAttemptTimeout,
  defaultAutoSelectFamily,
  firstFamily,
  knowsTypeOfService,
} = require('../runtime/probes.js')

const DEFAULT_FREE_SOCKET_TIMEOUT = 90_000
const DEFAULT_KEEP_ALIVE_BUFFER = 1000
/** As net.connect: shorter attempts are raised to this. */
const LEAST_ATTEMPT_TIMEOUT = 10

/** When the program is asked for the addresses of a connection: while dns.lookup is replaced, for a name, in any case. */
const ASKS_AS_OTHERS = 0
const ASKS_FOR_NAMES = 1
const ASKS_ALWAYS = 2
/** The same, where the system does not say what names stand for. */
const ASKS_ALWAYS_ELSE = 3

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

/**
 * @param {unknown} value
 * @param {string} name
 */
function number(value, name) {
  if (value === undefined) return
  if (typeof value !== 'number') throw notANumber(name, value)
  if (Number.isNaN(value) || value < 0) throw outOfRange(name, '>= 0', value)
}

/** Options that must be numbers. */
const NUMBERS = namesOf([...AGENT, ...CONNECTION], (row) => row.number)

/** Options of ours that an agent heeds when they are changed. */
const LIVE = namesOf([...AGENT, ...CONNECTION], ({ live }) => live)

/**
 * Checks the options that are ours, at construction as the runtime checks its own.
 * @param {Options | undefined} options
 */
function validate(options) {
  if (options === undefined || options === null) return
  for (const name of NUMBERS) number(options[name], name)
  const { addresses, allowAddress, h2c, http2, io, retry, shared, warnings } = options
  if (http2 !== undefined && typeof http2 !== 'boolean') throw notA('boolean', 'http2', http2)
  if (h2c !== undefined && typeof h2c !== 'boolean') throw notA('boolean', 'h2c', h2c)
  if (h2c && (options.proxyEnv || options.proxy)) throw invalidValue('h2c', h2c, 'can not be had with proxies')
  if (shared !== undefined && typeof shared !== 'boolean') throw notA('boolean', 'shared', shared)
  if (warnings !== undefined && typeof warnings !== 'boolean') throw notA('boolean', 'warnings', warnings)
  if (allowAddress !== undefined) {
    if (typeof allowAddress !== 'function') throw notA('function', 'allowAddress', allowAddress)
    // It is they who know what they connect to.
    if (options.proxyEnv || options.proxy)
      throw invalidValue('allowAddress', allowAddress, 'can not be had with proxies')
  }
  if (nameCacheOf(options.dns)?.rotate && options.lookup) {
    // It is asked when connections are opened, and not in between.
    throw invalidValue('dns.rotate', true, 'can not be had with a lookup')
  }
  if (addresses !== undefined && addresses !== 'first' && addresses !== 'spread') {
    throw invalidValue('addresses', addresses, "must be one of: 'first', 'spread'")
  }
  checkPolicy(options.policy)
  breakerOf(options.breaker)
  proxyOf(options)
  if (retry !== undefined && retry !== 'safe' && retry !== false) {
    throw invalidValue('retry', retry, "must be one of: 'safe', false")
  }
  if (io !== undefined && io !== 'auto' && io !== 'thread') {
    throw invalidValue('io', io, "must be one of: 'auto', 'thread'")
  }
}

/** Streams that a session has at a time, as far as its server lets it, unless an agent says otherwise. */
const DEFAULT_MAX_STREAMS = 1000

/**
 * How many exchanges at a time a connection of an agent's may carry; undefined: it speaks HTTP/1.1.
 * @param {Options} options an agent's
 */
function maxStreams({ h2c, http2, maxStreams }) {
  if (http2 !== true && h2c !== true) return undefined
  return Math.min(Math.max(1, Math.floor(maxStreams ?? DEFAULT_MAX_STREAMS)), 0x7fffffff)
}

/** How long an HTTP/2 server may be silent, in ms, before it is asked whether it is there. */
const DEFAULT_PING_AFTER = 15_000

/**
 * The same as an agent has it; 0: it is never asked.
 * @param {Options} options an agent's
 */
function pingAfter({ h2c, http2, pingAfter = DEFAULT_PING_AFTER }) {
  if ((http2 !== true && h2c !== true) || pingAfter > 0xffffffff) return 0
  return Math.ceil(pingAfter)
}

/**
 * How much earlier than announced a server is expected to close, in ms. Node before 22 has no such property.
 * @param {any} agent
 */
function keepAliveBuffer(agent) {
  const value = agent.agentKeepAliveTimeoutBuffer ?? agent.options.agentKeepAliveTimeoutBuffer
  return typeof value === 'number' && value >= 0 && Number.isFinite(value) ? value : DEFAULT_KEEP_ALIVE_BUFFER
}

/**
 * How many there may be, as the runtime means it: it compares a count with the value, which may be a text or a fraction.
 * @param {unknown} value
 */
function limit(value) {
  if (typeof value === 'number' && Number.isInteger(value)) return value
  if (value === undefined) return Number.POSITIVE_INFINITY
  const number = Math.ceil(Number(value))
  // No count is less than what is no number.
  return Number.isNaN(number) ? 0 : number
}

/** @param {unknown} value milliseconds; 0, undefined: no limit */
function milliseconds(value) {
  return typeof value === 'number' && value > 0 && Number.isFinite(value) ? value : 0
}

/** What a timer of the engine can count. */
const MOST_MILLISECONDS = 0xffffffff

/**
 * @param {unknown} headersTimeout
 * @param {unknown} bodyTimeout
 */
function deadlinesOf(headersTimeout, bodyTimeout) {
  const headersMs = Math.min(Math.ceil(milliseconds(headersTimeout)), MOST_MILLISECONDS)
  const bodyMs = Math.min(Math.ceil(milliseconds(bodyTimeout)), MOST_MILLISECONDS)
  return headersMs > 0 || bodyMs > 0 ? { headersMs, bodyMs } : null
}

/**
 * Refuses an agent's `timeout` as the runtime does: not before a request wants a connection, whose timeout it would be.
 * @param {Options} options an agent's
 */
function checkTimeout({ timeout }) {
  if (!timeout) return
  if (typeof timeout !== 'number') throw notANumber('msecs', timeout)
  if (timeout < 0 || !Number.isFinite(timeout)) throw outOfRange('msecs', 'a non-negative finite number', timeout)
}

/** @param {Options} options an agent's */
function freeSocketTimeout(options) {
  return milliseconds(options.freeSocketTimeout ?? DEFAULT_FREE_SOCKET_TIMEOUT)
}

/**
 * An idle connection lives until the agent's freeSocketTimeout or, as in the runtime, its timeout: whichever is shorter.
 * @param {Options} options an agent's
 */
function idleLimit(options) {
  const own = freeSocketTimeout(options)
  const timeout = milliseconds(options.timeout)
  return own > 0 && timeout > 0 ? Math.min(own, timeout) : own || timeout
}

/**
 * @param {any} agent
 * @returns {import('../bridge/native.js').NativeLimits}
 */
function limitsOf(agent) {
  return {
    keepAlive: Boolean(agent.keepAlive),
    maxSockets: limit(agent.maxSockets),
    maxTotalSockets: limit(agent.maxTotalSockets),
    maxFreeSockets: limit(agent.maxFreeSockets),
    fifo: agent.scheduling === 'fifo',
    freeSocketTimeoutMs: idleLimit(agent.options),
    socketActiveTtlMs: milliseconds(agent.options.socketActiveTTL),
    maxRequestsPerSocket: milliseconds(agent.options.maxRequestsPerSocket),
    maxPending: limit(agent.options.maxPending),
    shared: agent.options.shared === true,
  }
}

/**
 * @param {import('../bridge/native.js').NativeLimits} limits
 * @param {any} agent
 */
function limitsDiffer(limits, agent) {
  return (
    limits.maxSockets !== limit(agent.maxSockets) ||
    limits.maxTotalSockets !== limit(agent.maxTotalSockets) ||
    limits.maxFreeSockets !== limit(agent.maxFreeSockets) ||
    limits.keepAlive !== Boolean(agent.keepAlive) ||
    limits.fifo !== (agent.scheduling === 'fifo') ||
    limits.freeSocketTimeoutMs !== idleLimit(agent.options)
  )
}

/** Every request option that a connection's profile is made of. */
const PROFILE_KEYS = namesOf(CONNECTION, ({ profile }) => profile)

/** What an agent has set once for all that agents must have in common to share connections. */
const LASTING = namesOf(CONNECTION, ({ lasting }) => lasting)

/**
 * How the engine is to connect; as net.connect takes the same options.
 * @param {any} agent
 * @param {Options} options a request's
 * @returns {import('../bridge/native.js').NativeProfile}
 */
function profileOf(agent, options) {
  const own = agent.options
  const family = pick(own, options, 'family')
  const socketPath = pick(own, options, 'socketPath')
  const attemptTimeout = pick(own, options, 'autoSelectFamilyAttemptTimeout')
  return {
    host: pick(own, options, 'host') || 'localhost',
    port: socketPath ? 0 : Number(pick(own, options, 'port')),
    socketPath: socketPath || undefined,
    family: family === 4 || family === 6 ? family : 0,
    localAddress: pick(own, options, 'localAddress') || undefined,
    localPort: pick(own, options, 'localPort') || 0,
    keepAlive: Boolean(agent.keepAlive || pick(own, options, 'keepAlive')),
    keepAliveInitialDelayMs: milliseconds(
      agent.keepAlive ? agent.keepAliveMsecs : pick(own, options, 'keepAliveInitialDelay'),
    ),
    noDelay: Boolean(pick(own, options, 'noDelay')),
    autoSelectFamily: pick(own, options, 'autoSelectFamily') ?? defaultAutoSelectFamily(),
    firstFamily: firstFamily(),
    attemptTimeoutMs:
      attemptTimeout === undefined ? defaultAttemptTimeout() : Math.max(attemptTimeout, LEAST_ATTEMPT_TIMEOUT),
    connectTimeoutMs: milliseconds(own.connectTimeout),
    tcpUserTimeoutMs: milliseconds(own.tcpUserTimeout),
    asks: asksFor(own, options),
  }
}

/**
 * When the program is asked what to connect to.
 * @param {Options} own an agent's
 * @param {Options} options a request's
 */
function asksFor(own, options) {
  const lookup = unjudged(pick(own, options, 'lookup'))
  if (own.allowAddress !== undefined) return lookup && lookup !== dns().lookup ? ASKS_ALWAYS_ELSE : ASKS_ALWAYS
  return lookup ? ASKS_FOR_NAMES : ASKS_AS_OTHERS
}

/** @param {unknown} value */
function isPort(value, least = 0) {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isInteger(number) && number >= least && number <= 0xffff
}

/** Whether an address names an interface, as fe80::1%eth0 does. @param {unknown} address */
function hasZone(address) {
  return typeof address === 'string' && address.includes('%')
}

/**
 * Whether net.connect would refuse these options, or read them in a way that the engine does not know.
 * @param {Options} own an agent's
 * @param {Options} options a request's
 */
function isUnusual(own, options) {
  const host = pick(own, options, 'host')
  if (host !== undefined && host !== null && typeof host !== 'string') return true
  const socketPath = pick(own, options, 'socketPath')
  if (socketPath ? typeof socketPath !== 'string' : !isPort(pick(own, options, 'port'))) return true
  // Sockets of Linux that are in no directory.
  if (socketPath?.[0] === '\0') return true
  if (hasZone(host) || hasZone(pick(own, options, 'localAddress'))) return true
  if (knowsTypeOfService && pick(own, options, 'typeOfService') !== undefined) return true
  const lookup = pick(own, options, 'lookup')
  if (lookup && typeof lookup !== 'function') return true
  const family = pick(own, options, 'family')
  if (family && family !== 4 && family !== 6) return true
  const localAddress = pick(own, options, 'localAddress')
  if (localAddress && (typeof localAddress !== 'string' || net.isIP(localAddress) === 0)) return true
  const localPort = pick(own, options, 'localPort')
  if (localPort && (typeof localPort !== 'number' || !isPort(localPort))) return true
  const autoSelectFamily = pick(own, options, 'autoSelectFamily')
  if (autoSelectFamily !== undefined && typeof autoSelectFamily !== 'boolean') return true
  const attemptTimeout = pick(own, options, 'autoSelectFamilyAttemptTimeout')
  return attemptTimeout !== undefined && !(Number.isInteger(attemptTimeout) && attemptTimeout > 0)
}

module.exports = {
  checkTimeout,
  freeSocketTimeout,
  isPlain,
  isUnusual,
  keepAliveBuffer,
  LASTING,
  leavesTarget,
  limitsDiffer,
  limitsOf,
  LIVE,
  maxStreams,
  pingAfter,
  merge,
  milliseconds,
  nameOf,
  deadlinesOf,
  pick,
  plainName,
  PROFILE_KEYS,
  profileOf,
  validate,
}
