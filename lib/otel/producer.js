'use strict'

// The process's counters for OpenTelemetry's SDK, as a producer of metrics that a reader collects beside those of its own: histograms
// come as the engine has counted them, whoever looks and however often, and a request costs nothing more.

const { notA } = require('../common/errors.js')
const { FAMILIES, pointsOf } = require('../metrics/families.js')
const { told } = require('../metrics/told.js')
const { dateNow } = require('../runtime/captured.js')
const { name, version } = require('../../package.json')
const { attributesOf, CONVENTIONS, serverOf } = require('./conventions.js')

/** @typedef {import('../metrics/families.js').Point} Point */
/** @typedef {[seconds: number, nanoseconds: number]} HrTime */

// Numbers of enumerations of @opentelemetry/api and @opentelemetry/sdk-metrics, of which nothing is loaded here.
const DOUBLE = 1
const CUMULATIVE = 1
const HISTOGRAM = 0
const GAUGE = 2
const SUM = 3

/** @param {number} ms @returns {HrTime} */
function hrTime(ms) {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}

/** @param {Point} point */
function toldOf({ buckets, sum = 0, value = 0 }) {
  if (buckets === undefined) return value
  let below = 0
  const counts = buckets.map(([, count]) => {
    const here = count - below
    below = count
    return here
  })
  // The last bound is Infinity's, which goes without saying.
  const boundaries = buckets.slice(0, -1).map(([bound]) => bound)
  return { buckets: { boundaries, counts }, sum, count: below }
}

/** Of a limit the last value counts; of what may fall or rise, the sum. */
const GAUGES = new Set(['keepwire.connections.limit'])

/** Of each family: what it is to OpenTelemetry, but for its points. */
const KNOWN = FAMILIES.map((family) => {
  const convention = CONVENTIONS[family.name]
  const descriptor = { name: convention.name, description: family.help, unit: convention.unit, valueType: DOUBLE }
  const kind =
    family.type === 'histogram'
      ? { dataPointType: HISTOGRAM }
      : GAUGES.has(convention.name)
        ? { dataPointType: GAUGE }
        : { dataPointType: SUM, isMonotonic: family.type === 'counter' }
  return { family, convention, base: { descriptor, aggregationTemporality: CUMULATIVE, ...kind } }
})

/** Requests that have a connection, or wait for one. */
const ACTIVE = {
  descriptor: {
    name: 'http.client.active_requests',
    description: 'Requests that have a connection, or wait for one.',
    unit: '{request}',
    valueType: DOUBLE,
  },
  aggregationTemporality: CUMULATIVE,
  dataPointType: SUM,
  isMonotonic: false,
}

const NAMES = new Set([...KNOWN.map(({ convention }) => convention.name), ACTIVE.descriptor.name])

/**
 * For the option `metricProducers` of a metric reader. Sums are cumulative, from the start of the process.
 * @param {{ exclude?: string[] } & import('../metrics/told.js').Naming} [options] `exclude`: metrics that somebody else records,
 *   such as 'http.client.request.duration' where an instrumentation does
 */
function metricProducer({ exclude = [], ...naming } = {}) {
  if (!Array.isArray(exclude)) throw notA('string[]', 'exclude', exclude)
  for (const excluded of exclude)
    if (!NAMES.has(excluded)) throw notA("the name of one of keepwire's metrics", 'exclude', excluded)
  const left = new Set(exclude)
  const startTime = hrTime(dateNow() - process.uptime() * 1000)
  return {
    async collect() {
      const all = told(naming)
      const endTime = hrTime(dateNow())
      const metrics = KNOWN.filter(({ convention }) => !left.has(convention.name)).map(
        ({ base, convention, family }) => ({
          ...base,
          dataPoints: pointsOf(family, all).map((point) => ({
            startTime,
            endTime,
            attributes: attributesOf(convention, point.labels),
            value: toldOf(point),
          })),
        }),
      )
      if (!left.has(ACTIVE.descriptor.name)) {
        const dataPoints = Object.entries(all.origin).map(([place, { leased, queued }]) => {
          return { startTime, endTime, attributes: serverOf(place), value: leased + queued }
        })
        metrics.push({ ...ACTIVE, dataPoints })
      }
      const filled = metrics.filter(({ dataPoints }) => dataPoints.length > 0)
      return {
        resourceMetrics: {
          resource: { attributes: {} },
          scopeMetrics: [{ scope: { name, version }, metrics: filled }],
        },
        errors: [],
      }
    },
  }
}

module.exports = { metricProducer }
