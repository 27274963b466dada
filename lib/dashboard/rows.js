'use strict'

// One look at all origins of the process, and what has changed since another.

const native = require('../bridge/native.js')
const { AT, FIELDS, STATUSES } = require('./layout.js')

/** @typedef {Record<string, number>} Tally */

/** All origins beyond the first 256. */
const OTHER = 'other'
const WIDTH = FIELDS.length

class Row {
  /** Errors by code, and fallbacks by reason. @type {Tally} */
  errors = {}
  /** @type {Tally} */
  fallbacks = {}

  /** @param {Float64Array} numbers */
  constructor(numbers) {
    this.numbers = numbers
  }

  /** @param {string} field */
  get(field) {
    return this.numbers[AT[field]]
  }

  /** Requests with a complete response. */
  get answered() {
    return STATUSES.reduce((sum, status) => sum + this.get(status), 0)
  }

  /** @param {Row} other */
  equals({ numbers }) {
    return this.numbers.every((number, at) => number === numbers[at])
  }

  toJSON() {
    // Milliseconds to the µs: what is told each second had better be short.
    const numbers = Array.from(this.numbers, (number) => Math.round(number * 1000) / 1000)
    return { n: numbers, errors: this.errors, fallbacks: this.fallbacks }
  }
}

const NOTHING = new Row(new Float64Array(WIDTH))

/**
 * @param {string} [detail] an origin of which times are told in buckets
 */
function look(detail) {
  const { detail: times, names, numbers, tallies } = native.overview(detail)
  const rows = names.map((_, at) => new Row(numbers.subarray(at * WIDTH, (at + 1) * WIDTH)))
  for (const { count, fallback, name, place } of tallies) {
    const row = rows[place]
    if (fallback) row.fallbacks[name] = count
    else row.errors[name] = count
  }
  return { rows: new Map(names.map((name, at) => [name || OTHER, rows[at]])), times }
}

/** @typedef {Map<string, Row>} Rows */

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

/**
 * @param {Rows} rows
 * @param {(row: Row) => number} value
 */
function sum(rows, value) {
  let total = 0
  for (const row of rows.values()) total += value(row)
  return total
}

module.exports = { grown, look, NOTHING, OTHER, Row, sum }
