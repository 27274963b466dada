'use strict'

// What native.overview() tells of each origin, number by number: src/bridge/overview.rs writes them in this order.

const { CLOSE_REASONS } = require('../common/reasons.js')

const COUNTERS = [
  ...['dialing', 'leased', 'idle', 'queued', 'limit'],
  ...['created', 'reused', 'retried', 'moved', 'passedOver', 'sentBytes', 'receivedBytes', 'full', 'resumed'],
  ...['other', '1xx', '2xx', '3xx', '4xx', '5xx'],
  ...['failed', 'fellBack'],
]

const TIMES = ['wait', 'connect', 'firstByte', 'dns', 'tcp', 'tls', 'age', 'proxy']
/** Milliseconds, but for the count. */
const PARTS = ['count', 'sum', 'max', 'p50', 'p99']

const FIELDS = Object.freeze([
  ...COUNTERS,
  ...CLOSE_REASONS.map((reason) => `closed.${reason}`),
  ...TIMES.flatMap((time) => PARTS.map((part) => `${time}.${part}`)),
])

/** @type {Readonly<Record<string, number>>} where each field is in a row */
const AT = Object.freeze(Object.fromEntries(FIELDS.map((name, at) => [name, at])))

/** Of a row, those that only grow. */
const STATUSES = Object.freeze(['other', '1xx', '2xx', '3xx', '4xx', '5xx'])

module.exports = { AT, FIELDS, STATUSES }
