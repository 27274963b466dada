'use strict'

// What the process did so far, by origin: sums that outlive agents and never fall. docs/observability.md describes the shape.

const native = require('../bridge/native.js')
const { byReason, histogram, tally, together } = require('./stats.js')

/** @typedef {import('../bridge/native.js').NativePlace} NativePlace */
/** @typedef {ReturnType<typeof histogram>} Histogram */

/** Most origins that are told by name. */
const MOST_NAMES = 256

/** All others. */
const OTHER = 'other'

/** @param {NativePlace} told */
function shape(told) {
  const [dialing, leased, idle, , , queued] = told.counts
  const [created, reused, retried, moved, passedOver, sentBytes, receivedBytes, full, resumed] = told.totals
  const [waitMs, connectMs, firstByteMs, dnsMs, tcpMs, tlsMs, ageMs, proxyMs] = told.times.map(histogram)
  return {
    open: leased + idle,
    idle,
    leased,
    dialing,
    queued,
    limit: told.limit,
    created,
    reused,
    retried,
    moved,
    passedOver,
    closed: byReason(told.closed),
    errors: tally(told.errors),
    foreign: tally(told.fallback),
    sentBytes,
    receivedBytes,
    handshakes: { full, resumed },
    durationMs: durations(told.durations),
    waitMs,
    connectMs,
    dnsMs,
    tcpMs,
    proxyMs,
    tlsMs,
    firstByteMs,
    ageMs,
  }
}

/** @typedef {ReturnType<typeof shape>} Totals */

/** @param {NativePlace['durations']} told */
function durations(told) {
  /** @type {Record<string, Record<string, Histogram>>} by method, then by status class */
  const byMethod = {}
  for (const { class: first, method, times } of told) {
    byMethod[method] ??= {}
    byMethod[method][first === 0 ? 'other' : `${first}xx`] = histogram(times)
  }
  return byMethod
}

/**
 * By origin, such as 'https://example.com:443', in the order in which the process came to know them.
 * @param {{ origin?: (origin: string) => string }} [options] `origin`: what an origin is called; those with the same name are
 *   added up
 * @returns {Record<string, Totals>}
 */
function totals({ origin = (name) => name } = {}) {
  /** @type {Map<string, Totals>} */
  const named = new Map()
  /** @type {Totals | undefined} */
  let others
  for (const told of native.totals()) {
    const name = told.name === '' ? OTHER : String(origin(told.name))
    const known = named.get(name)
    if (name !== OTHER && (known !== undefined || named.size < MOST_NAMES))
      named.set(name, together(known, shape(told)))
    else others = together(others, shape(told))
  }
  if (others !== undefined) named.set(OTHER, others)
  return Object.fromEntries(named)
}

module.exports = { totals }
