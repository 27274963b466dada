'use strict'

// From rounds to figures: medians, ratios taken within a round, and aims.

const { metrics } = require('./cases.js')

/**
 * @param {object | null} ceiling wrk's figures for the same load, by metric
 * @returns {{ name: string, title: string, sides: object[], aims: object[], ceiling: object | null }} each side: its
 *   `medians`, and `ratios` of keepwire's figures to its own (the median of the rounds' ratios), both by metric, null where
 *   not measured
 */
function summarizeCase({ name, title, aims }, sides, ceiling) {
  const ours = sides[0]
  const summarized = sides.map((side) => ({
    name: side.name,
    medians: byMetric((metric) => median(side.rounds.map((round) => round[metric]))),
    ratios: ratiosOf(ours, side),
    rounds: side.rounds,
  }))
  return { name, title, sides: summarized, aims: aims.map((aim) => judge(aim, summarized, ceiling)), ceiling }
}

/** The medians of the rounds' ratios. */
function ratiosOf(ours, side) {
  return byMetric((metric) => median(side.rounds.map((round, i) => ratio(ours.rounds[i][metric], round[metric]))))
}

function byMetric(value) {
  return Object.fromEntries(Object.keys(metrics).map((metric) => [metric, value(metric)]))
}

/** @returns {object} the aim with `ratio`, `reached` and wrk's ratio `most`, null where they could not be measured */
function judge(aim, sides, ceiling) {
  const peer = sides.find((side) => side.name === aim.peer)
  const ours = sides.find((side) => side.name === aim.side) ?? sides[0]
  const measured = peer === undefined ? null : ratiosOf(ours, peer)[aim.metric]
  const reached =
    measured === null ? null : aim.atLeast === undefined ? measured <= aim.atMost : measured >= aim.atLeast
  const most = ratio(ceiling?.[aim.metric] ?? null, peer?.medians[aim.metric] ?? null)
  return { ...aim, ratio: measured, reached, most }
}

function ratio(ours, theirs) {
  return ours === null || theirs === null || theirs === 0 ? null : ours / theirs
}

/** Of an odd or even number of values; null if any is missing. */
function median(values) {
  if (values.includes(null)) return null
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

module.exports = { median, ratiosOf, summarizeCase }
