'use strict'

// Looks at the counters once a second and tells whoever watches, while anybody does: what has changed, as text that is made once for
// all viewers, and of the page that a viewer is at what only that one needs.

const { connectionsTo } = require('../agent/connections.js')
const native = require('../bridge/native.js')
const { given } = require('../common/warnings.js')
const { clearTimeout, dateNow, setTimeout } = require('../runtime/captured.js')
const { adviceOf } = require('./advice.js')
const { EventLog } = require('./events.js')
const { healthOf } = require('./health.js')
const { proxyRows } = require('./proxies.js')
const { changes, look } = require('./rows.js')

/** @typedef {import('./rows.js').Look} Look */
/**
 * Whoever watches.
 * @typedef {object} Viewer
 * @property {string | undefined} origin of which it wants to see connections
 * @property {boolean} proxies whether it wants to see proxies
 * @property {boolean} isBehind whether it was not told of the last sample, so that the next one must have everything
 * @property {boolean} canTake whether it has read what it was told
 * @property {(data: object) => void} greet
 * @property {(json: string) => void} tell a sample
 */

/** How often it looks; tests have less time. */
const pace = { everyMs: 1000 }
/** 15 minutes. */
const MOST_POINTS = 900
/** Health is judged over so many looks. */
const WINDOW = 4
/** What could be better is thought of once in so many looks. */
const ADVICE_EVERY = 5
const MOST_CONNECTIONS = 200
const MOST_WAITERS = 50

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
  #ticks = 0
  /** As JSON. */
  #advice = '[]'

  /** Whether it looks. */
  get isSampling() {
    return this.#timer !== undefined
  }

  /** @param {Viewer} viewer is told the last look at once */
  add(viewer) {
    this.viewers.add(viewer)
    if (this.viewers.size === 1) {
      this.log.start()
      this.#looks = [look(dateNow())]
      this.#ticks = 0
      this.#think()
      this.#told = this.log.next
      this.#schedule()
    }
    viewer.greet({ history: this.history, events: this.log.ring })
    this.#whole(viewer, this.log.next)
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
      this.tick()
      if (this.viewers.size > 0) this.#schedule()
    }, pace.everyMs)
    // Nobody's process stays alive for being looked at.
    this.#timer.unref()
  }

  /** Looks, and tells everybody. */
  tick() {
    const before = this.#looks[this.#looks.length - 1]
    const now = look(dateNow())
    this.#looks.push(now)
    if (this.#looks.length > WINDOW) this.#looks.shift()
    const rows = changes(now, before)
    this.log.compare(
      now.rows,
      before.rows,
      rows.map(([place]) => now.names[place]),
    )
    this.history.push(point(now, before))
    if (this.history.length > MOST_POINTS) this.history.shift()
    this.#ticks += 1
    const isNews = this.#ticks % ADVICE_EVERY === 0 && this.#think()
    const from = this.#told
    this.#told = this.log.next
    const text = this.#text(rows, now.names.slice(before.names.length), from, isNews)
    for (const viewer of [...this.viewers]) {
      if (!viewer.canTake) viewer.isBehind = true
      else if (viewer.isBehind) this.#whole(viewer, from)
      else this.#tell(viewer, text)
    }
  }

  /** Whether there is other advice than before. */
  #think() {
    const { rows } = this.#looks[this.#looks.length - 1]
    const advice = JSON.stringify(adviceOf(rows, given, this.log.differing))
    const isNews = advice !== this.#advice
    this.#advice = advice
    return isNews
  }

  /** @param {Viewer} viewer @param {number} from number of the first event to tell */
  #whole(viewer, from) {
    const now = this.#looks[this.#looks.length - 1]
    viewer.isBehind = false
    this.#tell(viewer, this.#text(changes(now), now.names, from, true, true))
  }

  /**
   * What all viewers are told, but for its end.
   * @param {number[][]} changed
   * @param {string[]} names that they do not know
   * @param {number} from number of the first event to tell
   * @param {boolean} hasAdvice
   */
  #text(changed, names, from, hasAdvice, isWhole = false) {
    const now = this.#looks[this.#looks.length - 1]
    const tallies = changed
      .map(([place]) => ({ place, row: now.rows.get(now.names[place]) }))
      .filter(({ row }) => row !== undefined && row.get('failed') + row.get('fellBack') > 0)
    const told = JSON.stringify({
      at: now.at,
      isWhole,
      names,
      rows: changed,
      tallies: tallies.map(({ place, row }) => [place, row?.errors, row?.fallbacks]),
      point: this.history[this.history.length - 1] ?? null,
      health: healthOf(this.#looks),
      events: this.log.since(from),
    })
    return `${told.slice(0, -1)}${hasAdvice ? `,"advice":${this.#advice}` : ''}`
  }

  /**
   * @param {Viewer} viewer
   * @param {string} text
   */
  #tell(viewer, text) {
    const { origin, proxies } = viewer
    const detail = origin === undefined ? '' : `,"detail":${JSON.stringify(detailOf(origin))}`
    const through = proxies ? `,"proxies":${JSON.stringify(proxyRows())}` : ''
    viewer.tell(`${text}${detail}${through}}`)
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
  const rate = (/** @type {number} */ grown) => Math.round((10 * Math.max(0, grown)) / seconds) / 10
  return [
    now.at,
    rate(now.sums.answered - before.sums.answered),
    ...['reused', 'created', 'failed', 'sentBytes', 'receivedBytes'].map((field) =>
      rate(now.sums.get(field) - before.sums.get(field)),
    ),
    ...['idle', 'leased', 'dialing', 'queued'].map((field) => now.sums.get(field)),
  ]
}

/** @param {string} origin */
function detailOf(origin) {
  const [wait, firstByte, waiting] = native.placeTimes(origin, MOST_WAITERS)
  const all = connectionsTo(origin, MOST_CONNECTIONS)
  const times = { wait: wait.slice(2), firstByte: firstByte.slice(2) }
  return { origin, connections: all, most: MOST_CONNECTIONS, waiting, ...times }
}

module.exports = { pace, Sampler }
