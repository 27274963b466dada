'use strict'

// What could be better about a program's connections, and what to change.

const { AT } = require('./layout.js')
const { counted } = require('./words.js')

/** @typedef {import('./rows.js').Row} Row */
/** @typedef {import('./rows.js').Rows} Rows */
/** @typedef {{ id: string, origin: string | null, what: string, change: string, see: string }} Advice */

/** What happened less often says little. */
const FEW = 10

/** @param {number} part @param {number} whole */
const percent = (part, whole) => `${Math.round((100 * part) / Math.max(1, whole))} %`

/** @typedef {(row: Row) => Omit<Advice, 'id' | 'origin'> | undefined} Rule */

/**
 * Of connections that were closed for one of these reasons, where they are many.
 * @param {string[]} reasons
 * @param {number} share of all that were opened
 * @param {(count: number, created: number, row: Row) => Omit<Advice, 'id' | 'origin'>} advise
 * @returns {Rule}
 */
function whereClosed(reasons, share, advise) {
  const fields = reasons.map((reason) => AT[`closed.${reason}`])
  return (row) => {
    const closed = fields.reduce((sum, at) => sum + row.number(at), 0)
    const created = row.get('created')
    return closed >= FEW && closed >= created * share ? advise(closed, created, row) : undefined
  }
}

/** @type {Record<string, Rule>} */
const RULES = {
  'agent-per-request': whereClosed(['agent-destroyed'], 0.5, (closed, created) => ({
    what: `${closed} of ${counted(created, 'connection')} were closed because their agent was thrown away.`,
    change: 'Make one agent and use it for all requests, or give agents the option `shared: true`.',
    see: 'shared-connections.md',
  })),
  'keep-alive-off': whereClosed(['keep-alive-off'], 0.2, (closed) => ({
    what: `${counted(closed, 'connection')} were closed after one request: their agent keeps no idle ones.`,
    change: 'new Agent({ keepAlive: true })',
    see: 'getting-started.md',
  })),
  'server-says-close': whereClosed(['not-reusable'], 0.5, (closed, created) => ({
    what: `${percent(closed, created)} of the connections ended because request or response said close.`,
    change: "Turn keep-alive on at the server or the proxy before it, and send no 'Connection: close'.",
    see: 'reuse-and-retries.md',
  })),
  'server-closes': whereClosed(['closed-by-peer', 'reset-by-peer'], 0.5, (closed, created) => ({
    what: `The server closed ${percent(closed, created)} of the connections.`,
    change:
      '`npx keepwire check URL --idle` says how long it keeps idle ones; set `freeSocketTimeout` to less than that.',
    see: 'reuse-and-retries.md',
  })),
  'idle-too-short': whereClosed(['idle-timeout'], 0.5, (closed, created) => ({
    what: `${percent(closed, created)} of the connections were closed because no request came in time for them.`,
    change:
      "The server's hint, or `freeSocketTimeout`, is shorter than the gap between requests: raise it at the server first.",
    see: 'reuse-and-retries.md',
  })),
  'free-limit': whereClosed(['limits', 'evicted'], 0.2, (closed, created) => ({
    what: `${percent(closed, created)} of the connections were closed to keep within the limits, and others opened later.`,
    change: 'Raise `maxFreeSockets` to what is busy at peaks, or `maxTotalSockets`.',
    see: 'options.md',
  })),
  'passed-over': (row) => {
    const passedOver = row.get('passedOver')
    if (passedOver < FEW || passedOver < row.get('created') * 0.2) return undefined
    return {
      what: `${counted(passedOver, 'request')} opened a connection although one was idle: the server might have been closing it.`,
      change: 'Have the server keep idle connections for longer than the usual gap between requests.',
      see: 'reuse-and-retries.md',
    }
  },
  'limit-reached': (row) => {
    const waited = row.get('wait.count')
    const all = row.get('created') + row.get('reused')
    if (waited < FEW || waited < all * 0.05 || row.get('wait.p99') < row.get('firstByte.p50')) return undefined
    return {
      what: `${percent(waited, all)} of the requests waited for a connection; one in a hundred of them for ${Math.round(row.get('wait.p99'))} ms or more.`,
      change: 'Raise `maxSockets`, or read and end responses sooner.',
      see: 'options.md',
    }
  },
  fallbacks: (row) => {
    const all = row.get('fellBack')
    const [reason, count] = Object.entries(row.fallbacks).sort(([, one], [, other]) => other - one)[0] ?? ['', 0]
    if (all < FEW || all < (row.get('created') + row.get('reused')) * 0.05) return undefined
    return {
      what: `${counted(all, 'request')} fell back to the runtime's own sockets, ${count} of them because of '${reason}'.`,
      change: 'docs/fallback.md says what each reason means and what to do.',
      see: 'fallback.md',
    }
  },
  resent: (row) => {
    const resent = row.get('retried')
    if (resent < FEW || resent < (row.get('created') + row.get('reused')) * 0.01) return undefined
    return {
      what: `${counted(resent, 'request')} had to be sent again, because the server ended the connection just then.`,
      change:
        '`npx keepwire check URL --idle` says how long it keeps idle ones; set `freeSocketTimeout` to less than that.',
      see: 'reuse-and-retries.md',
    }
  },
}

/** Of this thread's warnings, by their codes; their own words name requests, which are nobody's business here. */
/** @type {Record<string, Omit<Advice, 'id' | 'origin'>>} */
const WARNINGS = {
  KEEPWIRE_WARN_AGENT_PER_REQUEST: {
    what: 'Ten agents made at the same place have had one request each, so none of their connections was reused.',
    change: "Make one agent and use it for all requests. The warning on the program's stderr shows the place.",
    see: 'observability.md',
  },
  KEEPWIRE_WARN_UNREAD_BODY: {
    what: 'Requests waited for connections whose responses nobody reads.',
    change:
      "Read responses, or call resume() or destroy() on them. The warning on the program's stderr names the requests.",
    see: 'observability.md',
  },
  KEEPWIRE_WARN_GLOBAL_AGENT: {
    what: "globalAgent was replaced by somebody's own agent before keepwire came: requests that name no agent go over that one.",
    change: 'Load keepwire first, or give requests an agent.',
    see: 'mocks-tracers-and-test-runners.md',
  },
}

/**
 * @param {Rows} rows
 * @param {Iterable<string>} warned codes of warnings
 * @param {Map<string, Map<string, number>>} differing by origin, how often requests could not use a connection for each part of
 *   its key
 * @returns {Advice[]}
 */
function adviceOf(rows, warned, differing) {
  /** @type {Advice[]} */
  const all = []
  for (const code of warned) if (code in WARNINGS) all.push({ id: code, origin: null, ...WARNINGS[code] })
  for (const [origin, row] of rows) {
    for (const [id, rule] of Object.entries(RULES)) {
      const advice = rule(row)
      if (advice !== undefined) all.push({ id, origin, ...advice })
    }
  }
  for (const [origin, parts] of differing) {
    for (const [part, count] of parts) {
      if (count < FEW) continue
      all.push({
        id: 'key-differs',
        origin,
        what: `${counted(count, 'request')} could not use connections to the same host, because those are for another ${part}.`,
        change: `Give all requests to it the same ${part}, if they may share connections.`,
        see: 'reuse-and-retries.md',
      })
    }
  }
  return all
}

module.exports = { adviceOf }
