'use strict'

// The table and the aims as text.

const { metrics } = require('./cases.js')

const NAME_WIDTH = 24
const VALUE_WIDTH = 18
const RATIO_WIDTH = 8

const labels = {
  keepwire: 'keepwire',
  own: 'keepwire, own request',
  runtime: "runtime's own agent",
  agentkeepalive: 'agentkeepalive',
  undici: 'undici.request',
  http1: 'keepwire, HTTP/1.1',
  relayed: 'keepwire, as far away',
  straight: 'keepwire, straight',
  'node-http2': 'node:http2',
  before: 'keepwire, before',
  watched: 'keepwire, dashboard',
  wrk: 'wrk, a client in C',
}

/** @param {object[]} results of summarizeCase */
function tableLines(results) {
  const used = Object.keys(metrics).filter((metric) => results.some(({ sides }) => sides[0].medians[metric] !== null))
  const head = used.map((metric) => metrics[metric].title.padStart(VALUE_WIDTH) + 'ratio'.padStart(RATIO_WIDTH))
  return [
    'Medians of the rounds; µs are a request. ratio: the first side of a case ÷ this one, within a round.',
    '',
    ' '.repeat(NAME_WIDTH) + head.join(''),
    ...results.flatMap(({ title, sides, ceiling }) => [
      title,
      ...sides.map((side) => sideLine(side, used, sides[0].name)),
      ...(ceiling === null ? [] : [sideLine(alone('wrk', ceiling, used), used, 'wrk')]),
    ]),
  ]
}

/** A side that is compared with no other. */
function alone(name, figures, used) {
  return { name, medians: Object.fromEntries(used.map((metric) => [metric, figures[metric] ?? null])) }
}

function sideLine(side, used, ours) {
  const cells = used.map((metric) => {
    const value = side.medians[metric]
    const ratio =
      side.name === ours || value === null ? '' : side.ratios[metric] === null ? '' : times(side.ratios[metric])
    return number(value, metrics[metric].digits).padStart(VALUE_WIDTH) + ratio.padStart(RATIO_WIDTH)
  })
  return `  ${labels[side.name]}`.padEnd(NAME_WIDTH) + cells.join('')
}

/** One line an aim: what was asked, what was measured, whether it is reached. */
function aimLines(results) {
  return results.flatMap(({ title, aims }) =>
    aims.map(({ side = 'keepwire', metric, peer, atMost, atLeast, ratio, reached, most }) => {
      const asked = atLeast === undefined ? `at most ${times(atMost)}` : `at least ${times(atLeast)}`
      const verdict =
        reached === null ? 'not measured' : `${times(ratio, 3)} ${reached ? '✓ reached' : '✗ not reached'}`
      const possible = most === null ? '' : ` (wrk: ${times(most)})`
      const whose = side === 'keepwire' ? '' : ` by ${labels[side].replace('keepwire, ', '')}`
      return `aim: ${title}${whose}: ${metrics[metric].title} ${asked} ${labels[peer]}: ${verdict}${possible}`
    }),
  )
}

function number(value, digits) {
  if (value === null) return ''
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function times(ratio, digits = 2) {
  return `${ratio.toFixed(digits)}×`
}

module.exports = { aimLines, labels, number, tableLines, times }
