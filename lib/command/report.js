'use strict'

// What a check has found, for people.

const { BUFFER_MS, seconds } = require('./verdict.js')

/** @typedef {import('./check.js').Answer} Answer */
/** @typedef {import('./check.js').Result} Result */
/** @typedef {(text: string) => string} Paint */
/** @typedef {{ good: Paint, bad: Paint, dim: Paint, strong: Paint }} Colours */

/** @type {Paint} */
const plain = (text) => text

/** @param {number} code @returns {Paint} */
const painted = (code) => (text) => `\u001b[${code}m${text}\u001b[0m`

/**
 * On a terminal only, and not where somebody wants none (no-color.org).
 * @param {{ isTTY?: boolean }} stream
 * @returns {Colours}
 */
function colours({ isTTY }) {
  if (!isTTY || process.env.NO_COLOR) return { good: plain, bad: plain, dim: plain, strong: plain }
  return { good: painted(32), bad: painted(31), dim: painted(2), strong: painted(1) }
}

/** What a server says is not for the terminal to obey. @param {string} text */
const printable = (text) => text.replace(/[^\x20-\x7e]/g, '?')

/** @param {number} ms */
function milliseconds(ms) {
  if (ms === 0) return '–'
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

const STEPS = /** @type {const} */ (['dnsMs', 'connectMs', 'tlsMs', 'firstByteMs', 'totalMs'])
const HEADINGS = ['dns', 'connect', 'tls', 'first byte', 'total']
const WIDTH = 12

/** @param {string} label */
const labelled = (label) => `  ${label.padEnd(WIDTH)}`

/** @param {Answer[]} answers */
function phases([first, ...later]) {
  const row = (/** @type {string[]} */ cells) => cells.map((cell) => cell.padStart(WIDTH)).join('')
  const lines = [labelled('') + row(HEADINGS), labelled('first') + row(STEPS.map((step) => milliseconds(first[step])))]
  if (later.length > 0) {
    const cells = STEPS.map((step) => milliseconds(median(later.map((answer) => answer[step]))))
    lines.push(`${labelled('later') + row(cells)}   median of ${later.length}`)
  }
  return lines
}

/** @param {Answer} answer */
function protocolOf({ httpVersion, tls }) {
  const over = tls === null ? '' : ` over ${tls.protocol}, ${tls.cipher}, ALPN ${tls.alpn ?? 'none'}`
  return `HTTP/${httpVersion}${over}`
}

/**
 * What each runtime's agent makes of a hint (measured with Node 18 to 26, Bun 1.4 and Deno 2).
 * @param {number} timeoutMs
 */
function meanings(timeoutMs) {
  const left = timeoutMs - BUFFER_MS
  const rest = left > 0 ? `closes idle connections after ${seconds(left)}` : 'reuses no connection'
  const others =
    left > 0
      ? `with a \`timeout\`: at most ${seconds(left)}; without: not closed, the server is first`
      : 'reuse no connection'
  return [
    ['keepwire', left > 0 ? rest : `${rest}, unless agentKeepAliveTimeoutBuffer is less than ${BUFFER_MS}`],
    ['Node ≥ 20, Bun 1.4, Deno 2', others],
    ['Node 18', 'does not know of it; the server is first'],
  ]
}

/** @param {Result} result */
function hintLines({ answers, hint }) {
  if (hint === null) return [`${labelled('hint')}none`]
  const said = answers.find(({ keepAlive }) => keepAlive !== null)?.keepAlive ?? ''
  const lines = [`${labelled('hint')}Keep-Alive: ${printable(said)}`]
  if (hint.timeoutMs !== null) {
    for (const [who, what] of meanings(hint.timeoutMs)) lines.push(`${labelled('')}  ${who.padEnd(28)}${what}`)
  }
  return lines
}

/** @param {NonNullable<Result['idle']>} idle */
function idleText({ afterMs, how, said = '' }) {
  const after = `after ${seconds(afterMs)}`
  switch (how) {
    case 'closed':
      return `the server closes it ${after} (FIN)`
    case 'reset':
      return `the server resets it ${after} (RST)`
    case 'said':
      return `the server says something ${after}: ${printable(said)}`
    case 'at-once':
      return 'the connection ends with its response'
    case 'failed':
      return 'the request before it was not answered'
    default:
      return `still open ${after}`
  }
}

/**
 * @param {Result} result
 * @param {Colours} colours
 */
function report(result, { bad, dim, good, strong }) {
  const { addresses, advice, answers, because, connections, exitCode, failures, idle, url, verdict } = result
  const lines = ['', strong(`  ${printable(url)}`), '', `${labelled('addresses')}${addresses.join(', ') || 'none'}`]
  if (answers.length > 0) {
    const statuses = [...new Set(answers.map(({ status }) => status))].join(', ')
    lines.push(`${labelled('server')}${answers[0].server}, status ${statuses}`)
    lines.push(`${labelled('protocol')}${protocolOf(answers[0])}`, '', ...phases(answers), '')
    lines.push(`${labelled('connections')}${connections} for ${answers.length + failures.length} requests`)
    lines.push(...hintLines(result))
    if (idle !== null) lines.push(`${labelled('idle')}${idleText(idle)}`)
  }
  lines.push('', `  ${(exitCode === 0 ? good : bad)(verdict.toUpperCase())}  ${printable(because)}`)
  lines.push(...advice.map((line) => dim(`    ${line}`)), '')
  return `${lines.join('\n')}\n`
}

/** @param {import('./bench.js').Row} row @param {import('./bench.js').Row} ours */
function benchCells({ connections, cpuMicros, p50Ms, p99Ms, perSecond }, ours) {
  return [
    Math.round(perSecond).toLocaleString('en'),
    ours.perSecond === 0 || perSecond === 0 ? '–' : (ours.perSecond / perSecond).toFixed(2),
    milliseconds(p50Ms),
    milliseconds(p99Ms),
    `${cpuMicros.toFixed(1)} µs`,
    connections === null ? '–' : String(connections),
  ]
}

const BENCH_HEADINGS = ['requests/s', 'keepwire ÷', 'p50', 'p99', 'CPU each', 'opened']
const SIDE_WIDTH = 16

/**
 * @param {import('./bench.js').BenchResult} result
 * @param {Colours} colours
 */
function benchReport({ connections, exitCode, rows, secondsEach, url }, { bad, dim, strong }) {
  const cells = (/** @type {string[]} */ of) => of.map((cell) => cell.padStart(WIDTH)).join('')
  const lines = ['', strong(`  ${printable(url)}`), '', `  ${''.padEnd(SIDE_WIDTH)}${cells(BENCH_HEADINGS)}`]
  for (const row of rows) {
    const name = `  ${row.side.padEnd(SIDE_WIDTH)}`
    lines.push(
      row.unavailable === null ? name + cells(benchCells(row, rows[0])) : name + dim(printable(row.unavailable)),
    )
    const errors = Object.entries(row.errors).map(([code, count]) => `${count} × ${printable(code)}`)
    if (errors.length > 0) lines.push(bad(`  ${''.padEnd(SIDE_WIDTH)}failed: ${errors.join(', ')}`))
  }
  const how = `${connections} at a time, ${secondsEach} s each in two turns; CPU of all threads of the client, a request`
  lines.push('', dim(`  ${how}`))
  if (exitCode === 2) lines.push(bad('  the server answered none'))
  return `${lines.join('\n')}\n\n`
}

module.exports = { benchReport, colours, printable, report }
