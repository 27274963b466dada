'use strict'

// totals(), and what proxies did, as families of metrics, under the names, in the units and by the labels that Prometheus has for such things.

/** @typedef {ReturnType<typeof import('../agent/totals.js')['totals']>[string]} Totals */
/** @typedef {ReturnType<typeof import('./told.js')['told']>} Told */
/** @typedef {Told['proxy'][string]} Proxy */
/** @typedef {Totals['waitMs']} Histogram */
/** @typedef {Record<string, string>} Labels */
/** @typedef {[labels: Labels, value: number | Histogram]} Reading */
/**
 * @typedef {object} Family
 * @property {string} name
 * @property {'counter' | 'gauge' | 'histogram'} type
 * @property {'seconds' | 'bytes'} [unit] the name ends with it
 * @property {string} help
 * @property {number[]} [bounds] of a histogram's buckets, in seconds
 * @property {'origin' | 'proxy'} [of] what it is told by, which is a label's name too; an origin unless it says so
 * @property {(told: any) => Reading[]} read
 */
/**
 * @typedef {object} Point
 * @property {Labels} labels
 * @property {number} [value] of a counter or a gauge
 * @property {[bound: number, count: number][]} [buckets] cumulative; the last one is Infinity's
 * @property {number} [sum]
 */

// All bounds are ends of buckets that the engine counts by (src/metrics/histogram.rs), so counts are exact.

/** OpenTelemetry's for the duration of requests. */
const REQUESTS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
/** Steps of a request, of which many take less than a millisecond. */
const STEPS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** OpenTelemetry's for the duration of connections. */
const CONNECTIONS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]

/** @template T @param {(told: T) => number | Histogram} pick @returns {(told: T) => Reading[]} */
const reading = (pick) => (told) => [[{}, pick(told)]]

/** @template T @param {string} label @param {(told: T) => Record<string, number | Histogram>} pick @returns {(told: T) => Reading[]} */
const readings = (label, pick) => (told) =>
  Object.entries(pick(told)).map(([name, value]) => [{ [label]: name }, value])

/** @param {(told: Totals) => number | Histogram} pick */
const one = (pick) => reading(pick)

/** @param {string} label @param {(told: Totals) => Record<string, number | Histogram>} pick */
const by = (label, pick) => readings(label, pick)

/** @param {(told: Proxy) => number | Histogram} pick */
const oneOfProxy = (pick) => reading(pick)

/** @param {string} label @param {(told: Proxy) => Record<string, number | Histogram>} pick */
const byOfProxy = (label, pick) => readings(label, pick)

/** @type {Family[]} */
const FAMILIES = [
  {
    name: 'http_client_request_duration_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: 'From when a request is given to a connection, the opening of a new one included, to the end of its response.',
    bounds: REQUESTS,
    read: ({ durationMs }) =>
      Object.entries(durationMs).flatMap(([method, byStatus]) =>
        Object.entries(byStatus).map(([status, times]) => /** @type {Reading} */ ([{ method, status }, times])),
      ),
  },
  {
    name: 'http_client_open_connections',
    type: 'gauge',
    help: 'Open connections: active (they carry a request) and idle.',
    read: by('state', ({ idle, leased }) => ({ active: leased, idle })),
  },
  {
    name: 'http_client_connection_duration_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: 'How long connections were open, of those that are closed.',
    bounds: CONNECTIONS,
    read: one(({ ageMs }) => ageMs),
  },
  {
    name: 'http_client_request_time_in_queue_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: 'How long requests waited for a connection, of those that had to.',
    bounds: REQUESTS,
    read: one(({ waitMs }) => waitMs),
  },
  {
    name: 'keepwire_connections_opened_total',
    type: 'counter',
    help: 'Connections opened.',
    read: one(({ created }) => created),
  },
  {
    name: 'keepwire_connections_reused_total',
    type: 'counter',
    help: 'Requests that got a connection which was there already.',
    read: one(({ reused }) => reused),
  },
  {
    name: 'keepwire_connections_closed_total',
    type: 'counter',
    help: 'Connections closed that were open, by reason.',
    read: by('reason', ({ closed }) => closed),
  },
  {
    name: 'keepwire_connections_pending',
    type: 'gauge',
    help: 'Requests that wait for a connection.',
    read: one(({ queued }) => queued),
  },
  {
    name: 'keepwire_connections_dialing',
    type: 'gauge',
    help: 'Connections that are being opened.',
    read: one(({ dialing }) => dialing),
  },
  {
    name: 'keepwire_connections_limit',
    type: 'gauge',
    help: 'How many connections the agents may have that hold any, where all of them have a limit.',
    read: ({ limit }) => (limit > 0 && limit < Infinity ? [[{}, limit]] : []),
  },
  {
    name: 'keepwire_requests_resent_total',
    type: 'counter',
    help: 'Requests sent again on a fresh connection.',
    read: one(({ retried }) => retried),
  },
  {
    name: 'keepwire_requests_moved_total',
    type: 'counter',
    help: 'Requests of which nothing was written, moved to a fresh connection.',
    read: one(({ moved }) => moved),
  },
  {
    name: 'keepwire_requests_passed_over_total',
    type: 'counter',
    help: 'Requests that got a fresh connection because those that were idle had been so for too long.',
    read: one(({ passedOver }) => passedOver),
  },
  {
    name: 'keepwire_requests_failed_total',
    type: 'counter',
    help: 'Requests that failed, by the code of their error.',
    read: by('error', ({ errors }) => errors),
  },
  {
    name: 'keepwire_requests_fallback_total',
    type: 'counter',
    help: "Requests carried by the runtime's own sockets, by reason.",
    read: by('reason', ({ foreign }) => foreign),
  },
  {
    name: 'keepwire_connection_setup_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: 'How long each step of opening a connection took: dns, tcp, proxy, tls.',
    bounds: STEPS,
    read: by('phase', ({ dnsMs, proxyMs, tcpMs, tlsMs }) => ({ dns: dnsMs, tcp: tcpMs, proxy: proxyMs, tls: tlsMs })),
  },
  {
    name: 'keepwire_time_to_first_byte_seconds',
    type: 'histogram',
    unit: 'seconds',
    help: "From a request's hand-over to a connection to its response's head.",
    bounds: STEPS,
    read: one(({ firstByteMs }) => firstByteMs),
  },
  {
    name: 'keepwire_io_bytes_total',
    type: 'counter',
    unit: 'bytes',
    help: 'Bytes of requests (transmit) and responses (receive), before TLS.',
    read: by('direction', ({ receivedBytes, sentBytes }) => ({ transmit: sentBytes, receive: receivedBytes })),
  },
  {
    name: 'keepwire_tls_handshakes_total',
    type: 'counter',
    help: 'TLS handshakes, by whether they continued an earlier session.',
    read: by('resumed', ({ handshakes }) => ({ false: handshakes.full, true: handshakes.resumed })),
  },
  {
    name: 'keepwire_proxy_open_connections',
    type: 'gauge',
    of: 'proxy',
    help: 'Connections through a proxy, tunnels among them: active (they carry a request), idle, and dialing.',
    read: byOfProxy('state', ({ dialing, idle, leased }) => ({ active: leased, idle, dialing })),
  },
  {
    name: 'keepwire_proxy_connections_opened_total',
    type: 'counter',
    of: 'proxy',
    help: 'Connections that a proxy has let through.',
    read: oneOfProxy(({ opened }) => opened),
  },
  {
    name: 'keepwire_proxy_connections_reused_total',
    type: 'counter',
    of: 'proxy',
    help: 'Requests that got a connection through a proxy which was there already.',
    read: oneOfProxy(({ reused }) => reused),
  },
  {
    name: 'keepwire_proxy_refusals_total',
    type: 'counter',
    of: 'proxy',
    help: 'Connections that a proxy has refused, by its status; of SOCKS by its words.',
    read: byOfProxy('status', ({ refused }) => refused),
  },
  {
    name: 'keepwire_proxy_errors_total',
    type: 'counter',
    of: 'proxy',
    help: 'Connections that have come to nothing for a proxy, refusals included, by the code of their error.',
    read: byOfProxy('error', ({ errors }) => errors),
  },
  {
    name: 'keepwire_proxy_setup_seconds',
    type: 'histogram',
    unit: 'seconds',
    of: 'proxy',
    help: "How long a proxy took to let connections through: CONNECT, or SOCKS's handshake.",
    bounds: STEPS,
    read: oneOfProxy(({ proxyMs }) => proxyMs),
  },
]

const MICROSECONDS = 1_000_000

/**
 * The engine counts whole µs, stats() shows ms.
 * @param {number} ms
 */
function seconds(ms) {
  return Math.round(ms * 1000) / MICROSECONDS
}

/**
 * @param {number[]} bounds
 * @param {Histogram} histogram
 * @returns {Pick<Point, 'buckets' | 'sum'>}
 */
function cumulated(bounds, { buckets: counted, count, sum }) {
  let at = 0
  let below = 0
  /** @type {[number, number][]} */
  const buckets = bounds.map((bound) => {
    for (; at < counted.length && seconds(counted[at][0]) <= bound; at += 1) below += counted[at][1]
    return [bound, below]
  })
  buckets.push([Infinity, count])
  return { buckets, sum: seconds(sum) }
}

/**
 * @param {Family} family
 * @param {Told} all
 * @returns {Point[]}
 */
function pointsOf({ bounds = [], of = 'origin', read }, all) {
  return Object.entries(all[of]).flatMap(([name, told]) => {
    const found = read(told).filter(([, value]) => typeof value === 'number' || value.count > 0)
    return found.map(([own, value]) => {
      const labels = { [of]: name, ...own }
      return typeof value === 'number' ? { labels, value } : { labels, ...cumulated(bounds, value) }
    })
  })
}

module.exports = { FAMILIES, pointsOf }
