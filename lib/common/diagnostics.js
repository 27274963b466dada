'use strict'

// What keepwire publishes on node:diagnostics_channel; docs/observability.md describes the messages. Nothing is made
// unless somebody listens.

const diagnostics = require('node:diagnostics_channel')

const { closeReason } = require('./reasons.js')

/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('../exchange/connection.js').Connection} Connection */

const opens = diagnostics.channel('keepwire.connection.open')
const reuses = diagnostics.channel('keepwire.connection.reuse')
const closes = diagnostics.channel('keepwire.connection.close')
const queued = diagnostics.channel('keepwire.request.queue')
const retries = diagnostics.channel('keepwire.request.retry')
const starts = diagnostics.channel('keepwire.request.start')
const turns = diagnostics.channel('keepwire.request.turn')

/** @param {Connection} connection */
function tellOpened(connection) {
  const { exchange, id, origin, timings } = connection
  const { label, origins, place } = origin
  const request = exchange === null ? null : exchange.req
  opens.publish({ agent: origins.agent, origin: label, place, connectionId: id, request, ...timings })
}

/** @param {Exchange} exchange */
function tellReused({ agent, connection, foundMore, origin, req, useCount }) {
  const connectionId = connection?.id
  const { label, place } = origin
  reuses.publish({ agent, origin: label, place, connectionId, request: req, useCount, idleMs: foundMore })
}

/** @param {Connection} connection */
function tellClosed({ closeReason: reason, id, origin, uses }) {
  const { label, origins, place } = origin
  closes.publish({
    agent: origins.agent,
    origin: label,
    place,
    connectionId: id,
    reason: closeReason(reason),
    useCount: uses,
  })
}

/** @param {Exchange} exchange */
function tellQueued({ agent, origin, req }) {
  const { label, place, queue } = origin
  queued.publish({ agent, origin: label, place, request: req, position: queue.size })
}

/**
 * In the context of whoever makes the request.
 * @param {Exchange} exchange
 */
function tellStarted({ agent, origin, req }) {
  const { label, place } = origin
  starts.publish({ agent, origin: label, place, request: req })
}

/**
 * @param {Exchange} exchange
 * @param {boolean} isServed
 */
function tellTurn({ agent, origin, queuedMs, req }, isServed) {
  const { label, place } = origin
  turns.publish({ agent, origin: label, place, request: req, queuedMs, isServed })
}

/**
 * @param {Exchange} exchange
 * @param {number} reason
 */
function tellRetried({ agent, connection, origin, req }, reason) {
  const connectionId = connection?.id
  const { label, place } = origin
  retries.publish({ agent, origin: label, place, connectionId, request: req, reason: closeReason(reason) })
}

module.exports = {
  closes,
  opens,
  queued,
  retries,
  reuses,
  starts,
  tellClosed,
  tellOpened,
  tellQueued,
  tellRetried,
  tellReused,
  tellStarted,
  tellTurn,
  turns,
}
