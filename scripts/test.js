'use strict'

// `npm test`: makes the checkout ready, then runs the Rust tests and the JavaScript tests on this Node.
// `npm test -- WORD…`: only the JavaScript test files whose path has one of the words.

const { run } = require('./process.js')
const { fetchProgramsFor } = require('./programs.js')
const { UserError, runScript, say } = require('./report.js')
const { ensureReady } = require('./setup.js')
const { closingLine, runSuite, testFiles } = require('./suite.js')
const { findCargo } = require('./toolchain.js')

/** @returns {Promise<import('./suite.js').Counts>} */
async function runRustTests() {
  say('Rust tests (cargo test); the first time compiles the crate for tests')
  const { code, stdout } = await run(await findCargo(), ['test', '--workspace', '--no-fail-fast'], {
    capture: 'stdout',
  })
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
  await ensureReady({ dev: true })
  const files = testFiles(filters)
  if (files.length === 0) throw new UserError(`no test file's path has ${filters.join(' or ')}.`)
  await fetchProgramsFor(files)

  const rust = filters.length === 0 ? await runRustTests() : { passed: 0, failed: 0, skipped: 0 }
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
  if (filters.length === 0) say(`Rust: ${closingLine(rust)}; JavaScript: ${closingLine(javascript)}`)
  console.log(closingLine(total))
  if (total.failed > 0) process.exitCode = 1
})
