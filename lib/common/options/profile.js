'use strict'

// How the engine is to connect, as net.connect takes the same options, and which of them only net.connect can make sense of.

const net = require('node:net')

const { dns } = require('../../runtime/late.js')
const {
  defaultAttemptTimeout,
  defaultAutoSelectFamily,
  firstFamily,
  knowsTypeOfService,
} = require('../../runtime/probes.js')
const { unjudged } = require('../addresses.js')
const { milliseconds } = require('./limits.js')
const { pick } = require('./merge.js')
const { CONNECTION, namesOf } = require('./table.js')

/** @typedef {Record<string, any>} Options */

/** As net.connect: shorter attempts are raised to this. */
const LEAST_ATTEMPT_TIMEOUT = 10

/** When the program is asked for the addresses of a connection: while dns.lookup is replaced, for a name, in any case. */
const ASKS_AS_OTHERS = 0
const ASKS_FOR_NAMES = 1
const ASKS_ALWAYS = 2
/** The same, where the system does not say what names stand for. */
const ASKS_ALWAYS_ELSE = 3

/** Every request option that a connection's profile is made of. */
const PROFILE_KEYS = namesOf(CONNECTION, ({ profile }) => profile)

/**
 * How the engine is to connect; as net.connect takes the same options.
 * @param {any} agent
 * @param {Options} options a request's
 * @returns {import('../../bridge/native.js').NativeProfile}
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

module.exports = { isUnusual, PROFILE_KEYS, profileOf }
