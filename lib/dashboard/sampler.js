'use strict'

// Looks at the counters once a second and tells whoever watches, while anybody does.

const { connectionsTo } = require('../agent/connections.js')
const { given } = require('../common/warnings.js')
const { clearTimeout, dateNow, setTimeout } = require('../runtime/captured.js')
const { adviceOf } = require('./advice.js')
const { EventLog } = require('./events.js')
const { healthOf } = require('./health.js')
const { look, NOTHING, sum } = require('./rows.js')

/** @typedef {import('./rows.js').Rows} Rows */
/** @typedef {{ at: number, rows: Rows }} Look */
/**
 * Whoever watches.
 * @typedef {object} Viewer
 * @property {string | undefined} origin of which it wants to see connections
 * @property {boolean} isBehind whether it was not told of the last sample, so that the next one must have everything
 * @property {boolean} canTake whether it has read what it was told
 * @property {(event: string, data: unknown) => void} tell
 */

/** How often it looks; tests have less time. */
const pace = { everyMs: 1000 }
/** 15 minutes. */
const MOST_POINTS = 900
/** Health is judged over so many looks. */
const WINDOW = 4
const MOST_CONNECTIONS = 200

class Sampler {
  log = new EventLog()
  /** Of all origins together, a point a second: see #point. @type {number[][]} */
  history = []
  /** @type {Set<Viewer>} */
  viewers = new Set()
  /** Oldest first. @type {Look[]} */
  #looks = []
  /** @type {any} */
  #timer = undefined
  #told = 0

  /** Whether it looks. */
  get isSampling() {
    return this.#timer !== undefined
  }

  /** @param {Viewer} viewer is told the last look at once */
  add(viewer) {
    this.viewers.add(viewer)
    if (this.viewers.size === 1) {
      this.log.start()
      this.#looks = []
      this.#look()
      this.#told = this.log.next
      this.#schedule()
    }
    viewer.tell('hello', { history: this.history, events: this.log.ring })
    viewer.isBehind = true
    this.#tell(viewer, [], this.log.next)
  }

  /** @param {Viewer} viewer */
  delete(viewer) {
    if (!this.viewers.delete(viewer) || this.viewers.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.log.stop()
  }

  #schedule() {
    this.#timer = setTimeout(() => {
      this.#look()
      const [before, now] = this.#looks.slice(-2)
      const changed = [...now.rows].filter(([name, row]) => !row.equals(before.rows.get(name) ?? NOTHING))
      for (const viewer of [...this.viewers]) this.#tell(viewer, changed, this.#told)
      this.#told = this.log.next
      if (this.viewers.size > 0) this.#schedule()
    }, pace.everyMs)
    // Nobody's process stays alive for being looked at.
    this.#timer.unref()
  }

  #look() {
    const { rows } = look()
    const now = { at: dateNow(), rows }
    const before = this.#looks[this.#looks.length - 1]
    this.#looks.push(now)
    if (this.#looks.length > WINDOW) this.#looks.shift()
    if (before === undefined) return
    this.log.compare(rows, before.rows)
    this.history.push(point(now, before))
    if (this.history.length > MOST_POINTS) this.history.shift()
  }

  /**
   * @param {Viewer} viewer
   * @param {[string, import('./rows.js').Row][]} changed
   * @param {number} from number of the first event to tell
   */
  #tell(viewer, changed, from) {
    if (!viewer.canTake) {
      viewer.isBehind = true
      return
    }
    const { at, rows } = this.#looks[this.#looks.length - 1]
    viewer.tell('sample', {
      at,
      isWhole: viewer.isBehind,
      rows: viewer.isBehind ? Object.fromEntries(rows) : Object.fromEntries(changed),
      point: this.history[this.history.length - 1] ?? null,
      health: healthOf(this.#looks),
      advice: adviceOf(rows, given, this.log.differing),
      events: this.log.since(from),
      detail: viewer.origin === undefined ? null : detailOf(viewer.origin),
    })
    viewer.isBehind = false
  }
}

/**
 * When, then per second: requests answered, requests that got a connection that was there, connections opened, failures, bytes out
 * and in; then how many connections are idle, leased and dialing, and requests waiting. The page names them in the same order.
 * @param {Look} now
 * @param {Look} before
 */
function point(now, before) {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000)
  const rate = (/** @type {(row: import('./rows.js').Row) => number} */ value) =>
    Math.round((10 * Math.max(0, sum(now.rows, value) - sum(before.rows, value))) / seconds) / 10
  const count = (/** @type {string} */ field) => sum(now.rows, (row) => row.get(field))
  return [
    now.at,
    rate((row) => row.answered),
    ...['reused', 'created', 'failed', 'sentBytes', 'receivedBytes'].map((field) => rate((row) => row.get(field))),
    ...['idle', 'leased', 'dialing', 'queued'].map(count),
  ]
}

/** @param {string} origin */
function detailOf(origin) {
  const { times } = look(origin)
  const all = connectionsTo(origin, MOST_CONNECTIONS)
  const [wait = [], firstByte = []] = times
  return { origin, connections: all, most: MOST_CONNECTIONS, wait: wait.slice(2), firstByte: firstByte.slice(2) }
}

module.exports = { pace, Sampler }
