'use strict'

// Runs the JavaScript test files on one runtime: each file in a process of its own, so that a crash or a hang costs one
// file and names it. The files use node:test; Bun and Deno run those under their own test commands.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { root, run } = require('./process.js')
const { secondsSince } = require('./report.js')

/**
 * @typedef {object} Runtime
 * @property {string} name as shown in tables
 * @property {'node' | 'bun' | 'deno'} kind
 * @property {string} command its executable
 */

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */

const FILE_TIMEOUT_MS = 5 * 60_000
/** How much of a failed file's output is said again at the end, where whoever reads a long log looks first. */
const FAILURE_CHARACTERS = 3000
const TEST_FOLDER = '__test__'

/** How each kind runs one test file, how its closing lines count, and which of its lines are `noise` if a test fails. */
const KINDS = {
  node: {
    args: (/** @type {string} */ file) => ['--test-reporter=spec', file],
    passed: /^ℹ pass (\d+)$/m,
    failed: /^ℹ (?:fail|cancelled) (\d+)$/gm,
    skipped: /^ℹ (?:skipped|todo) (\d+)$/gm,
    noise: /^ *[✔﹣].*\n/gm,
  },
  bun: {
    args: (/** @type {string} */ file) => ['test', `./${file}`, '--timeout', String(FILE_TIMEOUT_MS)],
    passed: /^ *(\d+) pass$/m,
    failed: /^ *(\d+) (?:fail|errors?)$/gm,
    skipped: /^ *(\d+) (?:skip|todo)$/gm,
    noise: /^\((?:pass|skip)\) .*\n/gm,
  },
  deno: {
    args: (/** @type {string} */ file) => ['test', '--allow-all', '--no-check', '--no-lock', file],
    passed: /^(?:ok|FAILED) \| (\d+) passed/m,
    failed: /^(?:ok|FAILED) \|.* (\d+) failed/gm,
    skipped: /^(?:ok|FAILED) \|.* (\d+) ignored/gm,
    noise: /^.* \.\.\. (?:ok|ignored) .*\n/gm,
  },
}

/**
 * @param {string[]} [filters] keep the files whose path has one of these; none: all
 * @returns {string[]} relative to the repository, sorted
 */
function testFiles(filters = []) {
  /** @param {string} folder @returns {string[]} */
  const under = (folder) =>
    fs.readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const relative = path.posix.join(folder, entry.name)
      if (entry.isDirectory()) return under(relative)
      return entry.name.endsWith('.test.js') ? [relative] : []
    })
  const files = under(TEST_FOLDER).sort()
  return filters.length === 0 ? files : files.filter((file) => filters.some((filter) => file.includes(filter)))
}

/**
 * @param {string} output
 * @param {RegExp} pattern
 */
function sum(output, pattern) {
  return Array.from(output.matchAll(pattern)).reduce((total, [, count]) => total + Number(count), 0)
}

/**
 * @param {Runtime} runtime
 * @param {string} file
 * @returns {Promise<Counts & { line: string, output: string }>}
 */
async function runFile(runtime, file) {
  const kind = KINDS[runtime.kind]
  const startedAt = performance.now()
  const { code, output, timedOut } = await run(runtime.command, kind.args(file), {
    capture: 'both',
    env: { NO_COLOR: '1', FORCE_COLOR: undefined, NODE_OPTIONS: undefined },
    timeoutMs: FILE_TIMEOUT_MS,
  })
  const passed = Number(kind.passed.exec(output)?.[1] ?? 0)
  const skipped = sum(output, kind.skipped)
  let failed = sum(output, kind.failed)
  let note = ''
  if (timedOut) note = `, ended after ${FILE_TIMEOUT_MS / 1000} s`
  else if (code !== 0 && failed === 0) note = `, exit code ${code}`
  else if (passed + failed + skipped === 0) note = ', ran no test'
  if (note !== '') failed++
  const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}${note}`
  const line = `${failed === 0 ? 'ok    ' : 'FAILED'} ${file}: ${counts} (${secondsSince(startedAt)})`
  return { passed, failed, skipped, line, output: output.replace(kind.noise, '').trim() }
}

/**
 * Runs the files, prints a line for each and, of those that fail, what they said of failures.
 * @param {Runtime} runtime
 * @param {string[]} files
 * @param {{ jobs?: number }} [options] `jobs`: files at a time, by default one more than there are cores, up to 8:
 *   of two on two cores, a quarter of the time is nobody's, since tests wait for their servers and processes
 * @returns {Promise<Counts & { failures: string[] }>} `failures`: the line and the last words of each file that failed
 */
async function runSuite(runtime, files, { jobs = Math.min(8, os.cpus().length + 1) } = {}) {
  const total = { passed: 0, failed: 0, skipped: 0, failures: /** @type {string[]} */ ([]) }
  const waiting = [...files]
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { passed, failed, skipped, line, output } = await runFile(runtime, file)
      console.log(`  ${line}`)
      if (failed > 0) {
        console.log(output.replace(/^/gm, '  | '))
        const last = output.slice(-FAILURE_CHARACTERS).replace(/^/gm, '  | ')
        total.failures.push(`${runtime.name}: ${line}\n${last}`)
      }
      total.passed += passed
      total.failed += failed
      total.skipped += skipped
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return total
}

/**
 * The line that a person, and whatever starts the tests, reads last.
 * @param {Counts} counts
 */
function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

module.exports = { closingLine, runSuite, testFiles }
