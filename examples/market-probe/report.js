'use strict'

/** @typedef {{ shop: string, outcome: string, ms: number, queuedMs: number, isReused: boolean }} Answer */

const WIDTH = 40
/** Where the bars of the chart end, in ms. */
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, Number.POSITIVE_INFINITY]

/**
 * @param {number[]} numbers
 * @param {number} share
 */
function quantile(numbers, share) {
  const sorted = [...numbers].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** Whether a shop has told a price. */
const isPrice = (/** @type {Answer} */ { outcome }) => outcome === '200'

/**
 * What each shop has answered.
 * @param {string[]} shops
 * @param {Answer[]} answers
 * @param {number} seconds
 */
function table(shops, answers, seconds) {
  const rows = shops.map((shop) => {
    const its = answers.filter((answer) => answer.shop === shop)
    const prices = its.filter(isPrice)
    const times = prices.map(({ ms }) => ms)
    /** @type {Record<string, number>} */
    const others = {}
    for (const { outcome } of its.filter((answer) => !isPrice(answer))) others[outcome] = (others[outcome] ?? 0) + 1
    const told = Object.entries(others).map(([outcome, count]) => `${count} × ${outcome}`)
    const reused = its.filter(({ isReused }) => isReused).length
    const shown = (/** @type {number} */ ms) => (Number.isNaN(ms) ? '' : ms.toFixed(1))
    return [shop, prices.length, shown(quantile(times, 0.5)), shown(quantile(times, 0.9)), reused, told.join(', ')]
  })
  const all = [['shop', 'prices', 'p50 ms', 'p90 ms', 'reused', 'else'], ...rows].map((row) => row.map(String))
  const widths = all[0].map((_, at) => Math.max(...all.map((row) => row[at].length)))
  const lines = all.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]))
      .join('  ')
      .trimEnd(),
  )
  const prices = answers.filter(isPrice).length
  return `${lines.join('\n')}\n\n${prices} of ${answers.length} prices in ${seconds.toFixed(1)} s\n`
}

/**
 * How long prices took, and how many came over a connection that was there.
 * @param {Answer[]} answers
 */
function chart(answers) {
  const prices = answers.filter(isPrice)
  const counts = STEPS.map((end, at) => {
    const here = prices.filter(({ ms }) => ms < end && ms >= (STEPS[at - 1] ?? 0))
    return { end, count: here.length, reused: here.filter(({ isReused }) => isReused).length }
  })
  const most = Math.max(1, ...counts.map(({ count }) => count))
  const lines = counts
    .filter(({ count }) => count > 0)
    .map(({ end, count, reused }) => {
      const full = Math.round((WIDTH * reused) / most)
      const bar = '█'.repeat(full) + '░'.repeat(Math.round((WIDTH * count) / most) - full)
      return `${end === Number.POSITIVE_INFINITY ? ' more' : `< ${end}`}`.padStart(7) + ` ms  ${bar} ${count}`
    })
  return `${lines.join('\n')}\n\n█ over a connection that was there   ░ over a new one`
}

module.exports = { chart, table }
