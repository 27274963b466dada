'use strict'

// What agents did so far, as the engine has counted it; docs/observability.md describes the shape.

const native = require('../bridge/native.js')
const { CLOSE_REASONS } = require('../common/reasons.js')
const { rememberedNames } = require('./names.js')

/** @typedef {import('../bridge/native.js').NativeOrigin} NativeOrigin */

/** @param {NativeOrigin} told */
function shape(told) {
  const [dialing, leased, idle, fallback, fallbackIdle, queued] = told.counts
  const [created, reused, retried, moved, passedOver] = told.totals
  return {
    open: leased + idle,
    idle,
    leased,
    dialing,
    queued,
    runtimeSockets: fallback,
    runtimeSocketsIdle: fallbackIdle,
    created,
    reused,
    retried,
    moved,
    passedOver,
    closed: byReason(told.closed),
    errors: tally(told.errors),
    foreign: tally(told.fallback),
    waitMs: histogram(told.wait),
    connectMs: histogram(told.connect),
    firstByteMs: histogram(told.firstByte),
  }
}

/** @typedef {ReturnType<typeof shape>} OriginStats */

/** @param {number[]} counts */
function byReason(counts) {
  /** @type {Record<string, number>} */
  const named = {}
  counts.forEach((count, reason) => {
    if (count > 0) named[CLOSE_REASONS[reason]] = count
  })
  return named
}

/** @param {import('../bridge/native.js').NativeTally[]} counts */
function tally(counts) {
  return Object.fromEntries(counts.map(({ name, count }) => [name, count]))
}

const MICROSECONDS = 1000

/** @param {number[]} told sum, largest, then each bucket's end and count, in µs */
function histogram([sum, max, ...pairs]) {
  /** @type {[number, number][]} */
  const buckets = []
  for (let at = 0; at < pairs.length; at += 2) buckets.push([pairs[at] / MICROSECONDS, pairs[at + 1]])
  return measure(buckets, sum / MICROSECONDS, max / MICROSECONDS)
}

/**
 * @param {[endMs: number, count: number][]} buckets by their ends
 * @param {number} sum
 * @param {number} max
 */
function measure(buckets, sum, max) {
  const count = buckets.reduce((total, [, here]) => total + here, 0)
  const quantile = (/** @type {number} */ share) => {
    let left = share * count
    const bucket = buckets.find(([, here]) => {
      left -= here
      return left <= 0
    })
    return bucket === undefined ? 0 : Math.min(bucket[0], max)
  }
  return { count, sum, max, p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), buckets }
}

/**
 * @param {any} one
 * @param {any} other
 * @returns {any} both together, whatever is in them
 */
function together(one, other) {
  if (one === undefined) return other
  if (typeof one === 'number') return one + other
  if (Array.isArray(one.buckets)) {
    const counts = new Map(one.buckets)
    for (const [end, count] of other.buckets) counts.set(end, (counts.get(end) ?? 0) + count)
    const buckets = /** @type {[number, number][]} */ ([...counts].sort(([a], [b]) => a - b))
    return measure(buckets, one.sum + other.sum, Math.max(one.max, other.max))
  }
  const keys = new Set([...Object.keys(one), ...Object.keys(other)])
  return Object.fromEntries([...keys].map((key) => [key, key in other ? together(one[key], other[key]) : one[key]]))
}

/** @param {NativeOrigin[]} all */
function collect(all) {
  /** @type {Record<string, OriginStats>} */
  const origins = {}
  /** @type {OriginStats | undefined} */
  let others
  for (const told of all) {
    if (told.name === '') others = together(others, shape(told))
    else origins[told.name] = together(origins[told.name], shape(told))
  }
  return { origins, others: others ?? null }
}

/** @param {import('../bridge/native.js').NativeProxyStats} told */
function shapeOfProxy({ counts, errors, last, lastAt, passed, refused, targets, totals }) {
  const [dialing, leased, idle] = counts
  const [opened, reused] = totals
  const [code, message] = last
  return {
    open: leased + idle,
    idle,
    leased,
    dialing,
    opened,
    reused,
    refused: tally(refused),
    errors: tally(errors),
    proxyMs: histogram(passed),
    lastError: code === undefined ? null : { code, message, at: lastAt },
    targets: tally(targets),
  }
}

/** Of each proxy, origins that are told. */
const MOST_TARGETS = 256

/** @typedef {ReturnType<typeof shapeOfProxy>} ProxyStats */

/**
 * What proxies did, by their names.
 * @param {number} [agent] the engine's number; undefined: for the process
 * @param {number} [targets] of each proxy, as many of the origins that its connections lead to: those with most of them
 * @returns {Record<string, ProxyStats>}
 */
function proxies(agent, targets = MOST_TARGETS) {
  return Object.fromEntries(native.proxies(agent, targets).map((told) => [told.name, shapeOfProxy(told)]))
}

/**
 * What only some agents have.
 * @param {number} [agent]
 */
function besides(agent) {
  const through = proxies(agent)
  return Object.keys(through).length === 0 ? undefined : { proxies: through }
}

/** @param {import('./origins.js').Origins | undefined} origins undefined: it has had no request */
function statsOf(origins) {
  if (origins === undefined) return collect([])
  const dns = rememberedNames(origins.id)
  const { gates } = origins
  return {
    ...collect(native.stats(origins.id)),
    ...besides(origins.id),
    ...(dns === null ? undefined : { dns }),
    ...(gates.size === 0 ? undefined : { hosts: hostsOf(gates) }),
  }
}

/** @param {Map<string, import('../exchange/gate.js').Gate>} gates */
function hostsOf(gates) {
  return Object.fromEntries(Array.from(gates, ([host, gate]) => [host, gate.stats()]))
}

/** What all agents of the process did so far, those of other threads as well. */
function stats() {
  return { ...collect(native.stats()), ...besides() }
}

module.exports = { byReason, histogram, proxies, shapeOfProxy, stats, statsOf, tally, together }
