'use strict'

// What happened to connections and requests, one by one: a ring of the last ones. This thread's are told as they happen, by the
// diagnostics channels; whatever else the counters know of (other threads, failures, fallbacks) is told each second, added up. Listens
// only while somebody looks.

const { explain } = require('../api/explain.js')
const { closes, opens, queued, retries } = require('../common/diagnostics.js')
const { CLOSE_REASONS } = require('../common/reasons.js')
const { dateNow } = require('../runtime/captured.js')
const { grown, NOTHING } = require('./rows.js')
const { closeInWords, counted, errorInWords, missInWords } = require('./words.js')

/** @typedef {import('./rows.js').Row} Row */
/** @typedef {import('./rows.js').Rows} Rows */
/**
 * @typedef {object} Event
 * @property {number} id
 * @property {number} at
 * @property {'opened' | 'closed' | 'queued' | 'resent' | 'moved' | 'failed' | 'fallback' | 'passed-over'} kind
 * @property {string} origin
 * @property {string} text
 * @property {number} count
 * @property {number | null} connection
 */

const MOST = 500
/** Told one by one in a second; further ones are added up. */
const MOST_A_SECOND = 100

const DIFFERS = /^key-differs: (.*)$/

const CLOSED = CLOSE_REASONS.map((reason) => [reason, `closed.${reason}`])

/** @param {number} ms */
const took = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`

class EventLog {
  /** Oldest first. @type {Event[]} */
  ring = []
  /** By origin, how often requests could not use a connection, by the part of its key. @type {Map<string, Map<string, number>>} */
  differing = new Map()
  #next = 1
  #thisSecond = 0
  /** What the counters knew of at the last look and nobody has told since, by origin and counter. @type {Map<string, Map<string, number>>} */
  #untold = new Map()
  /** @type {[channel: any, listener: (message: any) => void][]} */
  #listeners = [
    [opens, (message) => this.#opened(message)],
    [closes, (message) => this.#closed(message)],
    [queued, (message) => this.#queued(message)],
    [retries, (message) => this.#resent(message)],
  ]

  start() {
    for (const [channel, listener] of this.#listeners) channel.subscribe(listener)
  }

  stop() {
    for (const [channel, listener] of this.#listeners) channel.unsubscribe(listener)
    this.#untold.clear()
  }

  /** The number that the next event will have. */
  get next() {
    return this.#next
  }

  /** @param {number} id */
  since(id) {
    const { ring } = this
    return ring.length === 0 ? [] : ring.slice(Math.max(0, id - ring[0].id))
  }

  /** @param {Omit<Event, 'id' | 'at' | 'count' | 'connection'> & { count?: number, connection?: number }} event */
  #add({ connection, count = 1, kind, origin, text }) {
    this.ring.push({ id: this.#next, at: dateNow(), kind, origin, text, count, connection: connection ?? null })
    this.#next += 1
    if (this.ring.length > MOST) this.ring.shift()
  }

  /**
   * One of this thread's. What is too many to tell is left to the counters.
   * @param {any} message
   * @param {Event['kind']} kind
   * @param {string | null} counter what has counted it
   * @param {() => string} text
   */
  #tell({ connectionId: connection, place: origin }, kind, counter, text) {
    this.#thisSecond += 1
    if (this.#thisSecond > MOST_A_SECOND) return
    if (counter !== null) this.#owe(origin, counter, -1)
    this.#add({ kind, origin, text: text(), connection })
  }

  /** @param {string} origin @param {string} counter @param {number} count */
  #owe(origin, counter, count) {
    const counters = this.#untold.get(origin) ?? new Map()
    this.#untold.set(origin, counters.set(counter, (counters.get(counter) ?? 0) + count))
  }

  /** @param {any} message */
  #opened(message) {
    const { connectMs, dnsMs, place, proxyMs = 0, request, tlsMs } = message
    const reason = request === null ? undefined : explain(request)?.reason
    const [, part] = DIFFERS.exec(String(reason)) ?? []
    if (part !== undefined) {
      const parts = this.differing.get(place) ?? new Map()
      this.differing.set(place, parts.set(part, (parts.get(part) ?? 0) + 1))
    }
    this.#tell(message, 'opened', 'created', () => {
      const why = typeof reason === 'string' ? `not reused: ${missInWords(reason)}` : 'opened'
      const steps = [
        ['name', dnsMs],
        ['TCP', connectMs],
        ['proxy', proxyMs],
        ['TLS', tlsMs],
      ].filter(([, ms]) => ms > 0)
      return [why, ...steps.map(([step, ms]) => `${step} ${took(ms)}`)].join(' · ')
    })
  }

  /** @param {any} message */
  #closed(message) {
    const { reason, useCount } = message
    this.#tell(message, 'closed', `closed.${reason}`, () =>
      reason === 'error'
        ? closeInWords(reason)
        : `${closeInWords(reason)} · it had served ${counted(useCount, 'request')}`,
    )
  }

  /** @param {any} message */
  #queued(message) {
    this.#tell(message, 'queued', null, () =>
      message.position === 0 ? 'a request waits' : `a request waits, behind ${counted(message.position, 'other')}`,
    )
  }

  /** @param {any} message */
  #resent(message) {
    this.#tell(
      message,
      'resent',
      'retried',
      () => `a request was sent again: of its first connection, ${closeInWords(message.reason)}`,
    )
  }

  /**
   * Tells what the counters have and nobody told.
   * @param {Rows} now
   * @param {Rows} before
   * @param {string[]} changed origins of which anything is not as before
   */
  compare(now, before, changed) {
    this.#thisSecond = 0
    for (const origin of new Set([...changed, ...this.#untold.keys()])) {
      const row = now.get(origin)
      if (row === undefined) {
        // It is counted with others.
        this.#untold.delete(origin)
        continue
      }
      const then = before.get(origin) ?? NOTHING
      for (const [code, count] of grown(row.errors, then.errors)) {
        const words = errorInWords(code)
        this.#add({
          kind: 'failed',
          origin,
          count,
          text: `${counted(count, 'request')} failed: ${code}${words && ` (${words})`}`,
        })
      }
      for (const [reason, count] of grown(row.fallbacks, then.fallbacks)) {
        this.#add({
          kind: 'fallback',
          origin,
          count,
          text: `${counted(count, 'request')} fell back to the runtime's sockets: ${reason}`,
        })
      }
      this.#grown(
        origin,
        row,
        then,
        'moved',
        'moved',
        (count) => `${counted(count, 'request')} moved to a fresh connection, unsent`,
      )
      this.#grown(origin, row, then, 'passed-over', 'passedOver', (count) => {
        return `${counted(count, 'request')} passed over connections that had been idle for too long`
      })
      this.#late(origin, row, then, 'opened', 'created', (count) => `${counted(count, 'connection')} opened`)
      this.#late(origin, row, then, 'resent', 'retried', (count) => `${counted(count, 'request')} sent again`)
      for (const [reason, counter] of CLOSED) {
        this.#late(
          origin,
          row,
          then,
          'closed',
          counter,
          (count) => `${counted(count, 'connection')} closed: ${closeInWords(reason)}`,
        )
      }
      if (this.#untold.get(origin)?.size === 0) this.#untold.delete(origin)
    }
  }

  /**
   * @param {string} origin
   * @param {Row} row
   * @param {Row} then
   * @param {Event['kind']} kind
   * @param {string} counter
   * @param {(count: number) => string} text
   */
  #grown(origin, row, then, kind, counter, text) {
    const count = row.get(counter) - then.get(counter)
    if (count > 0) this.#add({ kind, origin, count, text: text(count) })
  }

  /**
   * The engine counts before this thread hears: what nobody has told a second later was not this thread's.
   * @param {string} origin
   * @param {Row} row
   * @param {Row} then
   * @param {Event['kind']} kind
   * @param {string} counter
   * @param {(count: number) => string} text
   */
  #late(origin, row, then, kind, counter, text) {
    const owed = this.#untold.get(origin)
    const untold = owed?.get(counter) ?? 0
    if (untold > 0) this.#add({ kind, origin, count: untold, text: text(untold) })
    const left = row.get(counter) - then.get(counter) + Math.min(untold, 0)
    owed?.delete(counter)
    if (left > 0) this.#owe(origin, counter, left)
  }
}

module.exports = { EventLog }
