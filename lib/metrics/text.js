'use strict'

// Families as text: Prometheus' format 0.0.4, and OpenMetrics 1.0.

const { FAMILIES, pointsOf } = require('./families.js')

/** @typedef {import('./families.js').Family} Family */
/** @typedef {import('./families.js').Point} Point */

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/**
 * Whether an Accept header asks for OpenMetrics rather than for plain text.
 * @param {string | undefined} accept
 */
function prefersOpenMetrics(accept) {
  let open = 0
  let plain = 0
  for (const range of (accept ?? '').toLowerCase().split(',')) {
    const [type, ...rest] = range.split(';').map((part) => part.trim())
    const parameters = new Map(rest.map((part) => /** @type {[string, string]} */ (part.split(/\s*=\s*/, 2))))
    const quality = parameters.has('q') ? Number(parameters.get('q')) || 0 : 1
    const version = (parameters.get('version') ?? '1.0.0').replaceAll('"', '')
    if (type === 'application/openmetrics-text' && version === '1.0.0') open = Math.max(open, quality)
    else if (type === 'text/plain') plain = Math.max(plain, quality)
  }
  return open > 0 && open >= plain
}

/** @param {string} text */
const escaped = (text) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')

/** @param {string} text */
const quoted = (text) => `"${escaped(text).replaceAll('"', '\\"')}"`

/** @param {number} value */
function shown(value) {
  return value === Infinity ? '+Inf' : String(value)
}

/**
 * A bucket's bound: OpenMetrics wants the same text from everybody.
 * @param {number} bound
 * @param {boolean} isOpen
 */
function shownBound(bound, isOpen) {
  return isOpen && Number.isInteger(bound) ? `${bound}.0` : shown(bound)
}

/**
 * @param {string} name
 * @param {Record<string, string>} labels
 * @param {number} value
 */
function line(name, labels, value) {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}=${quoted(text)}`)
  return `${name}{${pairs.join(',')}} ${shown(value)}\n`
}

/**
 * @param {string} name
 * @param {Point} point
 * @param {boolean} isOpen
 */
function linesOf(name, { buckets, labels, sum = 0, value = 0 }, isOpen) {
  if (buckets === undefined) return line(name, labels, value)
  const below = buckets.map(([bound, count]) =>
    line(`${name}_bucket`, { ...labels, le: shownBound(bound, isOpen) }, count),
  )
  const [, count] = buckets[buckets.length - 1]
  return below.join('') + line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count)
}

/**
 * @param {Family} family
 * @param {Point[]} points
 * @param {boolean} isOpen
 */
function textOf({ help, name, type, unit }, points, isOpen) {
  // OpenMetrics calls a family of counters by what its samples are called without their ending.
  const family = isOpen && type === 'counter' ? name.replace(/_total$/, '') : name
  const described = isOpen ? escaped(help).replaceAll('"', '\\"') : escaped(help)
  const units = isOpen && unit !== undefined ? `# UNIT ${family} ${unit}\n` : ''
  const samples = points.map((point) => linesOf(name, point, isOpen))
  return `# HELP ${family} ${described}\n# TYPE ${family} ${type}\n${units}${samples.join('')}`
}

/**
 * @param {Parameters<typeof pointsOf>[1]} all
 * @param {boolean} isOpen
 */
function render(all, isOpen) {
  const families = FAMILIES.map((family) => textOf(family, pointsOf(family, all), isOpen))
  return families.join('') + (isOpen ? '# EOF\n' : '')
}

module.exports = { OPEN_METRICS, prefersOpenMetrics, render, TEXT }
