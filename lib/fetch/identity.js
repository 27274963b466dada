'use strict'

// How a fetch's connections are made, and how many requests its agent allows: numbers that the engine knows them by.

const http = require('node:http')

const native = require('../native.js')
const { runtimePem } = require('../tls/trust.js')

/** Idle connections of plain fetches: as many and as long as those of our agents. */
const IDLE_TIMEOUT_MS = 90_000
const MOST_IDLE = 256
const KEEP_ALIVE_MS = 1000

/** @type {number | undefined} */
let plain

/** The identity of fetches without an agent. */
function defaultIdentity() {
  plain ??= native.fetchIdentity({
    trust: native.fetchTrust(runtimeTrust()),
    verify: process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0',
    certificate: '',
    key: '',
    keepAlive: true,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    mostIdle: MOST_IDLE,
    keepAliveInitialDelayMs: KEEP_ALIVE_MS,
    noDelay: true,
    connectTimeoutMs: 0,
  })
  return plain
}

/** @type {string | undefined} */
let trusted

/** The certificate authorities that the runtime trusts, PEM. */
function runtimeTrust() {
  trusted ??= runtimePem()
  return trusted
}

/** What agents came to, while their limits stay as they were. @type {WeakMap<object, Known>} */
const known = new WeakMap()

const collected = new FinalizationRegistry((/** @type {number} */ limits) => native.forgetFetchLimits(limits))

/** @typedef {{ identity: number, limits: number, shape: string }} Known */

/** Options of an agent that a fetch can't honour: it is told so. */
const REFUSED = [
  'createConnection',
  'lookup',
  'proxyEnv',
  'pfx',
  'crl',
  'checkServerIdentity',
  'servername',
  'localPort',
]

/**
 * @param {any} agent
 * @returns {{ identity: number, limits: number }}
 */
function ofAgent(agent) {
  if (agent === undefined || agent === null) return { identity: defaultIdentity(), limits: 0 }
  if (!(agent instanceof http.Agent)) throw refused('agent', 'must be an http.Agent')
  const { maxSockets, maxTotalSockets, options } = /** @type {any} */ (agent)
  const before = known.get(agent)
  const shape = `${maxSockets},${maxTotalSockets},${options.maxPending}`
  if (before !== undefined && before.shape === shape) return before
  const allowed = {
    perOrigin: maxSockets ?? Infinity,
    inTotal: maxTotalSockets ?? Infinity,
    pending: options.maxPending ?? Infinity,
  }
  const now = {
    identity: before?.identity ?? identityOf(agent),
    limits: native.fetchLimits(before?.limits ?? 0, allowed),
    shape,
  }
  if (before === undefined) collected.register(agent, now.limits)
  known.set(agent, now)
  return now
}

/** @param {any} agent */
function identityOf(agent) {
  const { options } = agent
  for (const name of REFUSED) {
    if (options[name] !== undefined) throw refused('agent', `has the option "${name}", which fetch() can't honour`)
  }
  const idle = [options.freeSocketTimeout ?? IDLE_TIMEOUT_MS, options.timeout ?? 0].filter((ms) => ms > 0)
  return native.fetchIdentity({
    trust: native.fetchTrust(options.ca === undefined ? runtimeTrust() : pem(options.ca, 'ca')),
    verify: options.rejectUnauthorized ?? process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0',
    certificate: pem(options.cert, 'cert'),
    key: pem(options.key, 'key'),
    localAddress: options.localAddress,
    socketPath: options.socketPath ?? undefined,
    keepAlive: Boolean(agent.keepAlive),
    idleTimeoutMs: idle.length === 0 ? 0 : Math.min(...idle),
    mostIdle: agent.maxFreeSockets,
    keepAliveInitialDelayMs: agent.keepAlive ? agent.keepAliveMsecs : 0,
    noDelay: options.noDelay ?? true,
    connectTimeoutMs: options.connectTimeout ?? 0,
  })
}

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {string}
 */
function pem(value, name) {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map((one) => pem(one, name)).join('\n')
  const text = typeof value === 'string' ? value : value instanceof Uint8Array ? new TextDecoder().decode(value) : ''
  if (!text.includes('-----BEGIN')) throw refused('agent', `has a "${name}" that is not PEM`)
  return text
}

/**
 * @param {string} name
 * @param {string} why
 */
function refused(name, why) {
  return Object.assign(new TypeError(`The option "${name}" of fetch() ${why}`), { code: 'ERR_INVALID_ARG_VALUE' })
}

module.exports = { defaultIdentity, ofAgent }
