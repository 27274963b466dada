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
const { document } = require('./document.js')
const { idleCases, idleLines, measureIdle } = require('./idle.js')
const { startServers } = require('./nginx.js')
const { builtCheckout, readOptions, usage } = require('./options.js')
const { serverPrefix } = require('./pin.js')
const { buildRevision } = require('./revision.js')
const { measureCase } = require('./rounds.js')
const { measureStarts, startCases, startLines } = require('./start-up.js')
const { summarizeCase } = require('./summary.js')
const { survey } = require('./survey.js')
const { aimLines, tableLines } = require('./table.js')

const RESULTS = path.join(__dirname, 'results')

async function main() {
  const options = readOptions(process.argv.slice(2))
  if (options.help) return console.log(usage)
  await ensureReady({ dev: true })

  const { pace, runtime, pin, compare } = options
  const against = compare === undefined ? options.against : builtCheckout(await buildRevision(compare))
  const isChosen = (usual) => (one) => (options.cases.length === 0 ? usual : options.cases.includes(one.name))
  const named = [...cases.filter(isChosen(!options.survey)), ...survey.filter(isChosen(options.survey))]
  const starts = startCases.filter(isChosen(true))
  const idles = idleCases.filter(isChosen(options.survey))
  const chosen = against === undefined ? named : named.map(besideBefore)
  say(`bench on ${runtime.name} ${runtime.version}: ${pace.rounds} rounds of ${pace.roundMs} ms a side and case`)
  const nginx = await startServers(serverPrefix(pin))
  const results = []
  let started = []
  let idle = []
  const ceiling = new Ceiling(nginx, pace.ceilingSeconds)
  try {
    if (chosen.length > 0 && (await ceiling.of(chosen[0])) === null) {
      say('what nginx gives at most is not measured: that takes wrk')
    }
    for (const [index, scenario] of chosen.entries()) {
      say(`case ${index + 1} of ${chosen.length}: ${scenario.title}`)
      const sides = await measureCase(scenario, { pace, runtime, against, server: nginx, pin, note: say })
      results.push(summarizeCase(scenario, sides, await ceiling.of(scenario)))
    }
    if (starts.length > 0) say(`${starts.map(({ name }) => name).join(', ')}: ${pace.starts} processes a side`)
    started = await measureStarts(starts, { pace, runtime, against, server: nginx })
    if (idles.length > 0) say(`${idles.map(({ name }) => name).join(', ')}: a process a side`)
    idle = await measureIdle(idles, { runtime, server: nginx })
  } finally {
    await nginx.stop()
  }
  if (results.length > 0) console.log(`\n${tableLines(results).join('\n')}\n\n${aimLines(results).join('\n')}\n`)
  console.log([...startLines(started), ...idleLines(idle)].join('\n'))
  const report = { runtime, pace, pin, cpus: os.cpus().length, cases: results, starts: started, idle }
  const written = save(report)
  if (options.document) written.push(document(report, options.cases.length === 0))
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
