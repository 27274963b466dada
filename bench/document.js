'use strict'

// Writes the figures of a survey into docs/performance.md, between two comments that name the runtime and how it was pinned.

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('../scripts/process.js')
const { UserError } = require('../scripts/report.js')
const { ratiosOf } = require('./summary.js')

const PAGE = path.join(root, 'docs', 'performance.md')

/** @param {object[]} sides @param {string} name @param {string} metric */
function ratioOf(sides, name, metric) {
  const ours = sides.find((side) => side.name === name)
  const peer = sides.find((side) => side.name === 'runtime')
  return ours && peer ? ratiosOf(ours, peer)[metric] : null
}

const figure = (value) => (value === null || value === undefined ? '' : value.toFixed(2))

/**
 * A row for each case that has the runtime beside it: agent and fast request, each with requests/s, JavaScript time and, where it was
 * taken, latency.
 */
function rows({ cases }) {
  const compared = cases.filter(({ sides }) => sides.some(({ name }) => name === 'runtime'))
  return compared.map(({ title, sides }) => {
    const cells = ['keepwire', 'own'].flatMap((name) =>
      ['perSecond', 'jsMicros', 'medianMicros'].map((metric) => figure(ratioOf(sides, name, metric))),
    )
    return `| ${title} | ${cells.join(' | ')} |`
  })
}

/** @param {object} report of one run @returns {string[]} */
function lines(report) {
  const { idle, starts } = report
  const others = [
    ...idle.map(({ title, sides: [ours, theirs] }) => {
      return `| ${title}, memory each | ${ours.kilobytes.toFixed(1)} KB | ${theirs.kilobytes.toFixed(1)} KB |`
    }),
    ...starts.flatMap(({ title, sides, most }) =>
      Object.keys(most).map((metric) => {
        const [theirs, ours] = [sides[0], sides.find(({ name }) => name === 'keepwire')]
        const unit = metric === 'rssMb' ? 'MB' : 'ms'
        const what = { wallMs: 'time', cpuMs: 'CPU', rssMb: 'memory', requestMs: 'time' }[metric]
        const title0 = title.replace(/,? ?(that loads …|by the agent of …)$/, '')
        return `| ${title0}, ${what} | ${ours.medians[metric].toFixed(1)} ${unit} | ${theirs.medians[metric].toFixed(1)} ${unit} |`
      }),
    ),
  ]
  return [
    '| keepwire ÷ the runtime | agent: requests/s | JS thread | latency | fast request: requests/s | JS thread | latency |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows(report),
    ...(others.length > 0 ? ['', '| | keepwire | the runtime |', '| --- | --- | --- |', ...others] : []),
  ]
}

/**
 * @param {object} report of one run
 * @param {boolean} isWhole false: of some cases only, whose rows take the place of those that are there
 * @returns {string} the file that was written
 */
function document(report, isWhole) {
  const { runtime, pin } = report
  const name = `${runtime.name} ${runtime.version.split('.')[0]}${pin === undefined ? '' : `, ${pin}`}`
  const [begin, end] = [`<!-- survey: ${name} -->`, `<!-- end of survey: ${name} -->`]
  const text = fs.readFileSync(PAGE, 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  const isThere = from >= 0 && to >= 0
  const table = lines(report)
  if (!isWhole) {
    if (!isThere) throw new UserError(`docs/performance.md has no survey of ${name} yet: the first one is of all cases`)
    fs.writeFileSync(PAGE, text.slice(0, from) + replaceRows(text.slice(from, to), table) + text.slice(to))
    return PAGE
  }
  const section = [begin, `### ${name}`, '', ...table, '', end].join('\n')
  if (isThere) {
    fs.writeFileSync(PAGE, text.slice(0, from) + section + text.slice(to + end.length))
    return PAGE
  }
  // Behind the surveys that are there.
  const last = text.lastIndexOf('<!-- end of survey: ')
  const at = last < 0 ? text.length : text.indexOf('-->', last) + '-->'.length
  fs.writeFileSync(PAGE, `${text.slice(0, at)}\n\n${section}${text.slice(at)}`)
  return PAGE
}

/** @param {string} section @param {string[]} table */
function replaceRows(section, table) {
  const titleOf = (/** @type {string} */ row) => row.split(' | ')[0]
  const rows = new Map(table.filter((line) => /^\| [^-|]/.test(line)).map((row) => [titleOf(row), row]))
  return section
    .split('\n')
    .map((line) => rows.get(titleOf(line)) ?? line)
    .join('\n')
}

module.exports = { document }
