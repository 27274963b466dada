'use strict'

// `npm run matrix [-- --only bun,node18] [--except node20] [--quick] [WORD…]`: the JavaScript tests on every runtime, and a
// table. --quick sets KEEPWIRE_TEST_QUICK=1, at which long tests do fewer rounds, and deals the files to the Nodes that have an older and
// a newer one beside them: each of these runs its share. Words select test files as in `npm test`, and are never dealt.

const { fetchProgramsFor } = require('./programs.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')
const { fetchRuntimes } = require('./runtimes.js')
const { ensureReady } = require('./setup.js')
const { closingLine, runSuite, testFiles } = require('./suite.js')

const USAGE = 'usage: npm run matrix -- [--only name,…] [--except name,…] [--quick] [word…]'

/** Tests of what does not depend on the runtime's own http.request, and of what stands in for it. */
const NEEDS_NO_AGENT = ['__test__/package/', '__test__/install/no-agents']

/** @param {string[]} args */
function parseArguments(args) {
  /** @type {{ only: string[], except: string[], quick: boolean, words: string[] }} */
  const options = { only: [], except: [], quick: false, words: [] }
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--quick') options.quick = true
    else if ((args[i] === '--only' || args[i] === '--except') && i + 1 < args.length) {
      const names = args[i] === '--only' ? 'only' : 'except'
      options[names] = args[++i].split(',').filter(Boolean)
    } else if (args[i].startsWith('-')) throw new UserError(USAGE)
    else options.words.push(args[i])
  }
  return options
}

/**
 * Which files a runtime has in a quick run: between an older and a newer Node, each has its share, so that together they have all.
 * @param {{ name: string }[]} runtimes
 * @param {string[]} files
 * @returns {(runtime: { name: string }) => string[]}
 */
function deal(runtimes, files) {
  const nodes = runtimes.filter(({ name }) => name.startsWith('node')).slice(1, -1)
  if (nodes.length < 2) return () => files
  return (runtime) => {
    const share = nodes.indexOf(runtime)
    return share === -1 ? files : files.filter((_, at) => at % nodes.length === share)
  }
}

/** @param {{ name: string, passed: number, failed: number, skipped: number, took: string }[]} rows */
function printTable(rows) {
  const columns = /** @type {const} */ (['name', 'passed', 'failed', 'skipped', 'took'])
  const titles = { name: 'runtime', passed: 'passed', failed: 'failed', skipped: 'skipped', took: 'time' }
  const lines = [titles, ...rows].map((row) =>
    columns
      .map((column) => (column === 'name' ? String(row[column]).padEnd(20) : String(row[column]).padStart(9)))
      .join(''),
  )
  console.log(`\n${lines.join('\n')}\n`)
}

runScript(async () => {
  const { except, only, quick, words } = parseArguments(process.argv.slice(2))
  await ensureReady({ dev: true, quick: true })
  const runtimes = await fetchRuntimes(only, except)
  if (runtimes.length === 0) throw new UserError('no runtime is left.')
  const files = testFiles(words)
  await fetchProgramsFor(files)
  if (quick) process.env.KEEPWIRE_TEST_QUICK = '1'

  const filesOf = quick && words.length === 0 ? deal(runtimes, files) : () => files
  const rows = []
  const failures = []
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const runtime of runtimes) {
    const startedAt = performance.now()
    say(`JavaScript tests on ${runtime.name}`)
    const suitable = filesOf(runtime).filter(
      (file) => runtime.agents || NEEDS_NO_AGENT.some((start) => file.startsWith(start)),
    )
    const counts = await runSuite(runtime, suitable)
    failures.push(...counts.failures)
    rows.push({ name: runtime.name, ...counts, took: secondsSince(startedAt) })
    total.passed += counts.passed
    total.failed += counts.failed
    total.skipped += counts.skipped
  }
  for (const failure of failures) console.log(`\n${failure}`)
  printTable(rows)
  console.log(closingLine(total))
  if (total.failed > 0) process.exitCode = 1
})
