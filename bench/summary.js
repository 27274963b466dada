'use strict'

// From rounds to figures: medians, ratios taken within a round, and aims.

const { metrics } = require('./cases.js')

/**
 * @returns {{ name: string, title: string, sides: object[], aims: object[] }} each side: its `medians`, and `ratios` of
 *   keepwire's figures to its own (the median of the rounds' ratios), both by metric, null where not measured
 */
function summarizeCase({ name, title, aims }, sides) {
  const ours = sides[0]
  const summarized = sides.map((side) => ({
    name: side.name,
    medians: byMetric((metric) => median(side.rounds.map((round) => round[metric]))),
    ratios: byMetric((metric) => median(side.rounds.map((round, i) => ratio(ours.rounds[i][metric], round[metric])))),
    rounds: side.rounds,
  }))
  return { name, title, sides: summarized, aims: aims.map((aim) => judge(aim, summarized)) }
}

function byMetric(value) {
  return Object.fromEntries(Object.keys(metrics).map((metric) => [metric, value(metric)]))
}

/** @returns {object} the aim with `ratio` and `reached`, both null where it could not be measured */
function judge(aim, sides) {
  const ratio = sides.find((side) => side.name === aim.peer)?.ratios[aim.metric] ?? null
  const reached = ratio === null ? null : aim.atLeast === undefined ? ratio <= aim.atMost : ratio >= aim.atLeast
  return { ...aim, ratio, reached }
}

function ratio(ours, theirs) {
  return ours === null || theirs === null ? null : ours / theirs
}

/** Of an odd or even number of values; null if any is missing. */
function median(values) {
  if (values.includes(null)) return null
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

module.exports = { summarizeCase }
