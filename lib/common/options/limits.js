'use strict'

// An agent's limits and times as numbers, with the defaults of those that are ours.

/** @typedef {Record<string, any>} Options */

const DEFAULT_FREE_SOCKET_TIMEOUT = 90_000
const DEFAULT_KEEP_ALIVE_BUFFER = 1000

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
 * @returns {import('../../bridge/native.js').NativeLimits}
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
 * @param {import('../../bridge/native.js').NativeLimits} limits
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

module.exports = {
  deadlinesOf,
  freeSocketTimeout,
  keepAliveBuffer,
  limitsDiffer,
  limitsOf,
  maxStreams,
  milliseconds,
  pingAfter,
}
