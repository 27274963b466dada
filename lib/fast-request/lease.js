'use strict'

// How a fast exchange gets its connection: one that is open and idle, now or when its turn in the queue comes. With any other
// answer of the engine's its request becomes the runtime's own, and goes on with what exchange/lease.js does.

const { ADOPTING, FOR_NOT_RETRYABLE, FOR_RETRYABLE, IDLE } = require('../bridge/layout.js')
const native = require('../bridge/native.js')
const { Connection } = require('../exchange/connection.js')
const { discard } = require('../exchange/exchange.js')
const { Wait } = require('../exchange/queue.js')
const { MOST_REPEATABLE_BODY, SAFE_METHODS } = require('../exchange/retry-policy.js')
const { isLookupReplaced } = require('../runtime/genuine.js')

/**
 * Takes an idle connection, its agent's or a lent one, for a request that can do with no other; else its `answer` says what
 * the engine has in place of one, or is −1: ask it again.
 * @param {import('./exchange.js').FastExchange} exchange
 */
function leaseIdle(exchange) {
  const { agent, options, origin, port, template } = exchange
  // It was swept since the request was made, or may have to wait.
  if (origin.key === 0 || origin.gate !== null) return false
  const { origins } = origin
  origins.requests += 1
  origins.syncLimits()
  port.setLooksUp(isLookupReplaced())
  if (port.submission.hasClosed) port.submission.flush()
  exchange.open()
  const profile = origin.plainProfile(agent, options)
  const isRepeatable = SAFE_METHODS.has(template.method) && (exchange.body?.length ?? 0) <= MOST_REPEATABLE_BODY
  const purpose = origins.retries && isRepeatable ? FOR_RETRYABLE : FOR_NOT_RETRYABLE
  for (;;) {
    const answer = native.lease(port.id, origins.id, origin.key, profile, exchange.id, purpose)
    const kind = answer & 7
    const id = answer >>> 3
    const known = kind === IDLE ? port.connections.get(id) : undefined
    if (kind === IDLE && (known === undefined || known.socket.destroyed)) {
      discard(id)
    } else if (known?.isConnected || kind === ADOPTING) {
      exchange.foundMore = (answer / 0x100000000) | 0
      exchange.connect(known ?? new Connection(origin, id, options))
      return true
    } else {
      exchange.answer = answer
      return false
    }
  }
}

/**
 * Puts an exchange into the queue that the engine has queued. Nobody can abort it there, or give it a timeout, without having it
 * promoted.
 * @param {import('./exchange.js').FastExchange} exchange
 */
function waitForIdle(exchange) {
  exchange.wait = new Wait(exchange, (kind, id) => exchange.onTurn(kind, id))
}

/**
 * Takes the connection that its turn has brought, if that is an open one.
 * @param {import('./exchange.js').FastExchange} exchange
 * @param {number} kind
 * @param {number} id the connection's
 */
function takeIdle(exchange, kind, id) {
  const known = kind === IDLE ? exchange.port.connections.get(id) : undefined
  if (known === undefined || known.socket.destroyed || !known.isConnected) return false
  exchange.connect(known)
  return true
}

module.exports = { leaseIdle, takeIdle, waitForIdle }
