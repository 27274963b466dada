'use strict'

// Families in a registry of prom-client's, beside a program's own metrics. Whatever has prom-client's registerMetric() will
// do: nothing of that package is loaded here.

const { notA } = require('../common/errors.js')
const { FAMILIES, pointsOf } = require('./families.js')
const { told } = require('./told.js')

/** @typedef {import('./families.js').Family} Family */
/** @typedef {import('./families.js').Point} Point */
/** @typedef {{ metricName?: string, labels: Record<string, string | number>, value: number }} Value */

/**
 * @param {string} name
 * @param {Point} point
 * @returns {Value[]}
 */
function valuesOf(name, { buckets, labels, sum = 0, value = 0 }) {
  // Without a name of its own: prom-client has two for counters, by its registry's format.
  if (buckets === undefined) return [{ labels, value }]
  const below = buckets.map(([bound, count]) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le: bound === Infinity ? '+Inf' : bound },
    value: count,
  }))
  const [, count] = buckets[buckets.length - 1]
  return [
    ...below,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

/** A metric as prom-client's registries and aggregators know them. */
class Metric {
  aggregator = 'sum'
  #family
  #read

  /**
   * @param {Family} family
   * @param {() => import('./families.js').Told} read
   */
  constructor(family, read) {
    this.#family = family
    this.#read = read
    // Registries shorten it.
    this.name = family.name
    this.help = family.help
    this.type = family.type
  }

  get() {
    const { aggregator, help, name, type } = this
    const points = pointsOf(this.#family, this.#read())
    return { name, help, type, aggregator, values: points.flatMap((point) => valuesOf(this.#family.name, point)) }
  }

  /** What the process did can't be undone. */
  reset() {}
}

/**
 * Adds keepwire's metrics to a registry. Throws what the registry throws, such as for a name that it has already; then none are
 * added.
 * @param {any} registry of prom-client
 * @param {import('./told.js').Naming} [options]
 */
function register(registry, options = {}) {
  if (typeof registry?.registerMetric !== 'function') throw notA("prom-client's Registry", 'registry', registry)
  /** @type {import('./families.js').Told | undefined} */
  let read
  // All metrics of a registry are read at once, one by one.
  const readOnce = () => {
    if (read === undefined) {
      read = told(options)
      queueMicrotask(() => (read = undefined))
    }
    return read
  }
  /** @type {string[]} */
  const added = []
  try {
    for (const family of FAMILIES) {
      registry.registerMetric(new Metric(family, readOnce))
      added.push(family.name)
    }
  } catch (error) {
    for (const name of added) registry.removeSingleMetric(name)
    throw error
  }
}

module.exports = { register }
