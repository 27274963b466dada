'use strict'

// One look at all origins of the process, and what has changed since another. Rows are windows on the numbers of all: a look at hundreds
// of origins is one array.

const native = require('../bridge/native.js')
const { AT, FIELDS, STATUSES } = require('./layout.js')

/** @typedef {Record<string, number>} Tally */
/** @typedef {Map<string, Row>} Rows */
/**
 * @typedef {object} Look
 * @property {number} at
 * @property {string[]} names in the order in which they came: those of a look before come first
 * @property {Float64Array} numbers
 * @property {Rows} rows by name
 * @property {Row} sums of all
 */

/** All origins beyond the first 256. */
const OTHER = 'other'
const WIDTH = FIELDS.length
const ANSWERS = STATUSES.map((status) => AT[status])

class Row {
  /** Errors by code, and fallbacks by reason. @type {Tally} */
  errors = {}
  /** @type {Tally} */
  fallbacks = {}
  #numbers
  #start

  /** @param {Float64Array} numbers of all rows @param {number} [start] of this one */
  constructor(numbers, start = 0) {
    this.#numbers = numbers
    this.#start = start
  }

  /** @param {string} field */
  get(field) {
    return this.#numbers[this.#start + AT[field]]
  }

  /** @param {number} at as AT has it */
  number(at) {
    return this.#numbers[this.#start + at]
  }

  /** Requests with a complete response. */
  get answered() {
    let sum = 0
    for (const at of ANSWERS) sum += this.#numbers[this.#start + at]
    return sum
  }
}

const NOTHING = new Row(new Float64Array(WIDTH))

/**
 * @param {number} at when
 * @returns {Look}
 */
function look(at) {
  const told = native.overview()
  const { numbers } = told
  const names = told.names.map((name) => name || OTHER)
  const rows = names.map((_, place) => new Row(numbers, place * WIDTH))
  for (const { count, fallback, name, place } of told.tallies) {
    const row = rows[place]
    if (fallback) row.fallbacks[name] = count
    else row.errors[name] = count
  }
  const sums = new Float64Array(WIDTH)
  for (let start = 0; start < numbers.length; start += WIDTH) {
    for (let field = 0; field < WIDTH; field += 1) sums[field] += numbers[start + field]
  }
  return { at, names, numbers, rows: new Map(names.map((name, place) => [name, rows[place]])), sums: new Row(sums) }
}

/**
 * Of each origin that has changed: its number, then pairs of a field and what it is now.
 * @param {Look} now
 * @param {Look} [before] undefined: all that is not 0
 * @returns {number[][]}
 */
function changes({ numbers }, before) {
  const old = before?.numbers ?? new Float64Array(0)
  /** @type {number[][]} */
  const changed = []
  for (let start = 0, place = 0; start < numbers.length; start += WIDTH, place += 1) {
    /** @type {number[] | undefined} */
    let row
    for (let field = 0; field < WIDTH; field += 1) {
      const at = start + field
      const number = numbers[at]
      if (number === (at < old.length ? old[at] : 0)) continue
      if (row === undefined) {
        row = [place]
        changed.push(row)
      }
      // Milliseconds to the µs: what is told each second had better be short.
      row.push(field, Math.round(number * 1000) / 1000)
    }
  }
  return changed
}

/**
 * What a tally has grown by.
 * @param {Tally} now
 * @param {Tally} before
 * @returns {[name: string, count: number][]}
 */
function grown(now, before) {
  const pairs = Object.entries(now).map(
    ([name, count]) => /** @type {[string, number]} */ ([name, count - (before[name] ?? 0)]),
  )
  return pairs.filter(([, count]) => count > 0)
}

module.exports = { changes, grown, look, NOTHING, OTHER, Row }
