'use strict'

// How an exchange gets its connection: the engine's pool answers at once, with an idle connection, one to be dialed, a
// place in the queue or a refusal; a queued exchange has its turn later.

const {
  ADOPTING,
  DIALING,
  FOR_FALLBACK,
  FOR_NOT_RETRYABLE,
  FOR_RETRYABLE,
  FALLBACK,
  IDLE,
  QUEUED,
} = require('../bridge/layout.js')
const { isLookupReplaced } = require('../runtime/genuine.js')
const native = require('../bridge/native.js')
const { Connection } = require('./connection.js')
const { discard } = require('./exchange.js')
const { queued, reuses, starts, tellQueued, tellReused, tellStarted } = require('../common/diagnostics.js')
const { coded } = require('../common/errors.js')
const { isRepeatable } = require('./retry-policy.js')
const { kDestroyError } = require('../runtime/probes.js')
const { refuseUnserved, settleUnserved, Wait } = require('./queue.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */

/**
 * @template {Exchange} T
 * @param {T} exchange
 * @param {boolean} isFallback whether it only wants a slot, for a real socket
 * @param {(exchange: T) => void} onServed it has its connection, or its slot
 * @param {number} [answered] the engine's answer, if it was asked already
 */
function lease(exchange, isFallback, onServed, answered = -1) {
  const { origin, port } = exchange
  exchange.isFallback = isFallback
  const { gate } = origin
  if (starts.hasSubscribers && exchange.queuedMs === 0 && exchange.pass === null) tellStarted(exchange)
  if (gate !== null && exchange.pass === null && !gate.enter(exchange, () => lease(exchange, isFallback, onServed)))
    return
  port.setLooksUp(isLookupReplaced())
  // What this thread closed must not come back as idle.
  if (port.submission.hasClosed) port.submission.flush()
  const profile = isFallback ? 0 : profileFor(exchange)
  const purpose = isFallback ? FOR_FALLBACK : purposeOf(exchange)
  for (let answer = answered; ; answer = -1) {
    if (answer < 0) answer = native.lease(port.id, origin.origins.id, origin.key, profile, exchange.id, purpose)
    // Shifting takes the lower 32 bits of a number of any size.
    const kind = answer & 7
    const id = answer >>> 3
    if (kind === QUEUED) {
      if (queued.hasSubscribers) tellQueued(exchange)
      exchange.wait = new Wait(exchange, (kind, id) => serve(exchange, isFallback, onServed, kind, id))
      exchange.wait.watch()
      return
    }
    if (kind !== DIALING && kind !== IDLE && kind !== FALLBACK && kind !== ADOPTING) {
      refuse(exchange)
      return
    }
    if (take(exchange, kind, id, (answer / 0x100000000) | 0)) {
      onServed(exchange)
      return
    }
  }
}

/**
 * An exchange's turn has come.
 * @template {Exchange} T
 * @param {T} exchange
 * @param {boolean} isFallback
 * @param {(exchange: T) => void} onServed
 * @param {number} kind
 * @param {number} id the connection's
 */
function serve(exchange, isFallback, onServed, kind, id) {
  const taken = take(exchange, kind, id, 0)
  // As in the runtime: only who found the connection idle has reused it.
  exchange.req.reusedSocket = false
  if (taken) onServed(exchange)
  else lease(exchange, isFallback, onServed)
}

/** @param {Exchange} exchange */
function purposeOf({ origin, req }) {
  return origin.origins.retries && isRepeatable(req) ? FOR_RETRYABLE : FOR_NOT_RETRYABLE
}

/** @param {Exchange} exchange */
function profileFor({ agent, isPlain, options, origin }) {
  return isPlain ? origin.plainProfile(agent, options) : origin.profile(agent, options)
}

/**
 * @param {Exchange} exchange
 * @param {number} kind
 * @param {number} id the connection's
 * @param {number} more for an idle one: how many ms it was; for one that is dialed: why
 * @returns {boolean} false: the connection is of no use, another one must be found
 */
function take(exchange, kind, id, more) {
  exchange.foundBy = kind
  exchange.foundMore = more
  if (kind === FALLBACK) return true
  const { origin, port } = exchange
  const known = port.connections.get(id)
  if (known === undefined && (kind === DIALING || kind === ADOPTING)) {
    exchange.connect(new Connection(origin, id, exchange.options))
    if (kind === DIALING) origin.onDial(exchange)
    // What was another agent's may be closed by its server at any time, like one of one's own.
    if (kind === ADOPTING) exchange.req.reusedSocket = true
    return true
  }
  if (known === undefined || known.socket.destroyed) {
    // It closed while its record was under way, or the user destroyed it and the engine has not heard yet.
    discard(id)
    return false
  }
  exchange.connect(known)
  exchange.req.reusedSocket = kind === IDLE
  if (reuses.hasSubscribers && kind === IDLE) tellReused(exchange)
  return true
}

/** @param {Exchange} exchange */
function refuse(exchange) {
  const { label, queue } = exchange.origin
  const message = `${queue.size} requests to ${label} are waiting already (maxPending)`
  refuseUnserved(exchange, coded('ERR_KEEPWIRE_QUEUE_FULL', message))
}

/**
 * A request was destroyed in the tick in which it got its connection: not a byte of it was written.
 * @param {Exchange} exchange
 */
function giveBack(exchange) {
  const { connection, req } = exchange
  // It hears of its end from here, not from its connection's.
  if (connection !== null && connection.socket._httpMessage === req) connection.socket._httpMessage = null
  if (connection !== null && !exchange.isSettled) {
    if (connection.socket.connecting) {
      connection.socket.destroy()
    } else {
      exchange.returnUnused()
    }
  }
  settleUnserved(req, req[kDestroyError])
}

module.exports = { giveBack, lease, serve }
