'use strict'

// The connections that there are at a moment, one by one.

const native = require('../bridge/native.js')
const { notA } = require('../common/errors.js')
const { settlePending } = require('../exchange/batch.js')
const { cipherOf } = require('../tls/secured.js')
const { kOrigins } = require('./origins.js')

/** By their numbers in src/bridge/stats.rs. */
const STATES = Object.freeze(/** @type {const} */ (['dialing', 'leased', 'idle']))

/**
 * @param {any} [agent] undefined: all agents of the process, those of other threads as well
 */
function connections(agent) {
  if (agent === undefined) return native.connections().map(shape)
  if (agent === null || typeof agent !== 'object' || !(kOrigins in agent)) {
    throw notA("one of keepwire's agents", 'agent', agent)
  }
  settlePending(agent)
  // One without a number has had no request.
  const id = agent[kOrigins]?.id
  return id === undefined ? [] : native.connections(id).map(shape)
}

/**
 * Those to one origin, as totals() calls it, of all agents of the process.
 * @param {string} origin
 * @param {number} most
 */
function connectionsTo(origin, most) {
  return native.connections(undefined, origin, most).map(shape)
}

/** @param {import('../bridge/native.js').NativeConnection} told */
function shape(told) {
  const { address, ageMs, alpn, cipher, id, idleMs, place, port, protocol, proxy, state, uses } = told
  return {
    id,
    origin: place,
    state: STATES[state],
    ageMs,
    idleMs,
    uses,
    remoteAddress: address ?? null,
    remotePort: port ?? null,
    tls: protocol === undefined ? null : { protocol, cipher: cipherOf(cipher ?? '').standardName, alpn: alpn ?? null },
    proxy: proxy ?? null,
  }
}

module.exports = { connections, connectionsTo }
