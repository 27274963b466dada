'use strict'

// `npm run bench`: keepwire against its peers on one nginx worker. PERFORMANCE figures are ratios: each side is a process
// of its own, rounds are interleaved (A B C A B C …), a ratio compares two sides within a round, and its median is reported.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { runScript, say } = require('../scripts/report.js')
const { ensureReady } = require('../scripts/setup.js')
const { besideBefore, cases } = require('./cases.js')
const { Ceiling } = require('./ceiling.js')
const { drawChart } = require('./chart.js')
const { startNginx } = require('./nginx.js')
const { readOptions, usage } = require('./options.js')
const { measureCase } = require('./rounds.js')
const { measureStarts, startCases, startLines } = require('./start-up.js')
const { summarizeCase } = require('./summary.js')
const { aimLines, tableLines } = require('./table.js')

const RESULTS = path.join(__dirname, 'results')

async function main() {
  const options = readOptions(process.argv.slice(2))
  if (options.help) return console.log(usage)
  await ensureReady({ dev: true })

  const { pace, runtime, against } = options
  const isNamed = ({ name, onlyNamed }) => (options.cases.length === 0 ? !onlyNamed : options.cases.includes(name))
  const named = cases.filter(isNamed)
  const starts = startCases.filter(isNamed)
  const chosen = against === undefined ? named : named.map(besideBefore)
  say(`bench on ${runtime.name} ${runtime.version}: ${pace.rounds} rounds of ${pace.roundMs} ms a side and case`)
  const nginx = await startNginx()
  const results = []
  let started = []
  const ceiling = new Ceiling(nginx, pace.ceilingSeconds)
  try {
    if (chosen.length > 0 && (await ceiling.of(chosen[0])) === null) {
      say('what nginx gives at most is not measured: that takes wrk')
    }
    for (const [index, scenario] of chosen.entries()) {
      say(`case ${index + 1} of ${chosen.length}: ${scenario.title}`)
      const sides = await measureCase(scenario, { pace, runtime, against, server: nginx, note: say })
      results.push(summarizeCase(scenario, sides, await ceiling.of(scenario)))
    }
    if (starts.length > 0) say(`${starts.map(({ name }) => name).join(', ')}: ${pace.starts} processes a side`)
    started = await measureStarts(starts, { pace, runtime, against, server: nginx })
  } finally {
    await nginx.stop()
  }
  if (results.length > 0) console.log(`\n${tableLines(results).join('\n')}\n\n${aimLines(results).join('\n')}\n`)
  console.log(startLines(started).join('\n'))
  const written = save({ runtime, pace, cpus: os.cpus().length, cases: results, starts: started })
  say(`wrote ${written.map((file) => path.relative(process.cwd(), file)).join(' and ')}`)
}

/** @returns {string[]} the files written */
function save(report) {
  fs.mkdirSync(RESULTS, { recursive: true })
  const date = new Date()
  const stamp = date.toISOString().slice(0, 19).replaceAll(':', '')
  const base = path.join(RESULTS, `${stamp}-${report.runtime.name.toLowerCase()}-${report.runtime.version}`)
  fs.writeFileSync(`${base}.json`, `${JSON.stringify({ date, ...report }, null, 2)}\n`)
  fs.writeFileSync(`${base}.svg`, drawChart(report))
  return [`${base}.json`, `${base}.svg`]
}

// Ctrl-C ends the sides by itself; nginx is ended by the way out.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => process.exit(1))
}

runScript(main)
