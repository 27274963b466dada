'use strict'

// How a request got its connection, told from the few numbers that its exchange keeps.

const { ADOPTING, DIALING, IDLE } = require('../bridge/layout.js')
const { fallbackRequests } = require('../client-request/fallback-sockets.js')
const { missReason } = require('../common/reasons.js')
const { kFast } = require('../fast-request/symbols.js')
const { kExchange } = require('../socket/socket.js')
const { NAMED } = require('../tls/settings.js')

/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('../agent/origin.js').Origin} Origin */

/** The parts of a getName(), in order. */
const NAME_PARTS = ['host', 'port', 'localAddress', 'family']

/**
 * @param {any} req one of the runtime's ClientRequests
 * @returns {Record<string, unknown> | undefined} undefined: no agent of ours has had it
 */
function explain(req) {
  const fallback = fallbackRequests.get(req)
  if (fallback !== undefined) return { carriedBy: 'runtime', reason: fallback, reused: req.reusedSocket === true }
  /** @type {import('../fast-request/exchange.js').FastExchange | undefined} */
  const fast = req?.[kFast]
  // One that has no connection yet gets it now, or its place in the queue.
  if (fast !== undefined && fast.connection === null) fast.promote()
  /** @type {Exchange | undefined} */
  const exchange = req?.[kFast] ?? req?.[kExchange]
  if (exchange === undefined) return undefined
  const { connection, foundBy, isResent, origin, pass, queuedMs, replaced, useCount, wait } = exchange
  if (connection === null) {
    const waitsFor = wait === null ? undefined : { waitsFor: wait.isHeld ? 'policy' : 'connection' }
    return { carriedBy: 'keepwire', state: wait === null ? 'refused' : 'queued', reused: false, ...waitsFor }
  }
  const reused = (foundBy === IDLE || foundBy === ADOPTING) && replaced === 0
  const steps = connection.timings
  if (reused) for (const name of Object.keys(steps)) steps[/** @type {keyof typeof steps} */ (name)] = 0
  return {
    carriedBy: 'keepwire',
    reused,
    reason: reused ? null : missOf(exchange),
    connectionId: connection.id,
    useCount,
    idleMs: reused ? exchange.foundMore : 0,
    queuedMs,
    ...(pass === null ? undefined : { policyMs: pass.heldMs }),
    ...steps,
    ...(origin.proxy === undefined ? undefined : { proxy: origin.proxy.name }),
    retried: isResent,
    moved: replaced > 0 && !isResent,
  }
}

/** @param {Exchange} exchange */
function missOf({ connection, foundBy, foundMore, origin, pass, queuedMs, replaced }) {
  if (replaced > 0) return missReason(replaced)
  if (connection?.isJoined) return 'multiplexed'
  if (foundBy === DIALING && foundMore === 0) {
    if (queuedMs > (pass?.heldMs ?? 0)) return 'all-busy'
    return differing(origin) ?? 'none-idle'
  }
  return missReason(foundMore)
}

/**
 * What keeps a request from the connections that its agent has to the same host and port.
 * @param {Origin} origin
 */
function differing(origin) {
  const parts = origin.name.split(':')
  for (const other of origin.origins.values()) {
    if (other === origin || other.connections.size === 0) continue
    const others = other.name.split(':')
    if (others[0] !== parts[0] || others[1] !== parts[1]) continue
    const most = Math.max(parts.length, others.length)
    for (let at = 2; at < most; at += 1) {
      if (parts[at] !== others[at]) return `key-differs: ${nameOfPart(origin, at)}`
    }
  }
  return undefined
}

/**
 * @param {Origin} origin
 * @param {number} at
 */
function nameOfPart({ options }, at) {
  const isSecure = options.servername !== undefined
  // The family is there only if one was asked for.
  const parts = 3 + Number(options.family === 4 || options.family === 6)
  if (at < (isSecure ? parts : NAME_PARTS.length) && !options.socketPath) return NAME_PARTS[at]
  if (!isSecure || options.socketPath) return 'socketPath'
  return NAMED[at - parts] ?? 'tls'
}

module.exports = { explain }
