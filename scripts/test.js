'use strict'

// `npm test`: makes the checkout ready, then runs the Rust tests and the JavaScript tests on this Node.
// `npm test -- WORD…`: only the JavaScript test files whose path has one of the words, and, if a file of the crate has one in
// its path, the Rust tests with one in their names.

const fs = require('node:fs')
const path = require('node:path')

const { root, run } = require('./process.js')
const { fetchProgramsFor } = require('./programs.js')
const { UserError, runScript, say } = require('./report.js')
const { ensureReady } = require('./setup.js')
const { closingLine, runSuite, testFiles } = require('./suite.js')
const { findCargo } = require('./toolchain.js')

/**
 * Cargo knows tests by the modules that they are in: `connect/tls` is `connect::tls` there.
 * @param {string[]} words
 * @returns {string[]} those in the path of a file of the crate
 */
function rustFilters(words) {
  const modules = fs
    .readdirSync(path.join(root, 'src'), { recursive: true })
    .map((file) => String(file).replace(/\.rs$/, '').split(path.sep).join('::'))
  return words
    .map((word) => word.replaceAll('/', '::'))
    .filter((word) => modules.some((module) => module.includes(word)))
}

/**
 * @param {string[]} filters
 * @returns {Promise<import('./suite.js').Counts>}
 */
async function runRustTests(filters) {
  say('Rust tests (cargo test); the first time compiles the crate for tests')
  const args = ['test', '--workspace', '--no-fail-fast', '--', ...filters]
  const { code, stdout } = await run(await findCargo(), args, { capture: 'stdout' })
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const [, passed, failed, ignored] of stdout.matchAll(
    /^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    counts.passed += Number(passed)
    counts.failed += Number(failed)
    counts.skipped += Number(ignored)
  }
  if (code !== 0) {
    console.log(stdout.replace(/^test .* \.\.\. ok\n/gm, ''))
    counts.failed = Math.max(counts.failed, 1)
  }
  return counts
}

runScript(async () => {
  const filters = process.argv.slice(2)
  await ensureReady({ dev: true, quick: true })
  const files = testFiles(filters)
  const forRust = rustFilters(filters)
  if (files.length + forRust.length === 0) throw new UserError(`no test file's path has ${filters.join(' or ')}.`)
  await fetchProgramsFor(files)

  const runsRust = filters.length === 0 || forRust.length > 0
  const rust = runsRust ? await runRustTests(forRust) : { passed: 0, failed: 0, skipped: 0 }
  const runtime = /** @type {const} */ ({
    name: `Node ${process.versions.node}`,
    kind: 'node',
    command: process.execPath,
  })
  say(`JavaScript tests on ${runtime.name}`)
  const javascript = await runSuite(runtime, files)

  const total = {
    passed: rust.passed + javascript.passed,
    failed: rust.failed + javascript.failed,
    skipped: rust.skipped + javascript.skipped,
  }
  if (runsRust) say(`Rust: ${closingLine(rust)}; JavaScript: ${closingLine(javascript)}`)
  console.log(closingLine(total))
  if (total.failed > 0) process.exitCode = 1
})
