'use strict'

// Test runners as published, run whole: their clocks, contexts and ways to end a process. And clocks that tests fake by
// themselves.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const { homeOf } = require('../../scripts/programs')
const { runBeside, skipped } = require('../support/programs')
const { isDeno, isNode, major } = require('../support/runtime')
const { startServer, USED } = require('./scripts/use')

const RUNNERS = path.join(__dirname, 'runners')
const DEADLINE_MS = 120_000
const LONG_DEADLINE_MS = 600_000
/** Of jest, in one process; `KEEPWIRE_TEST_FILES=100` for more. */
const FILES = Number(process.env.KEEPWIRE_TEST_FILES ?? 20)
const MOST_GROWTH_MB = 5
/** A file's context is there as long as its idle connections are: on a quick machine many files are over in the usual time. */
const IDLE_MS = '500'

/**
 * Runs a runner to its end, which it must come to by itself.
 * @param {string} program
 * @param {string} command in its packages
 * @param {string[]} args
 * @param {{ flags?: string[], env?: object, timeout?: number }} [more] the runtime's flags, and what the environment says besides
 * @returns {Promise<string>} what it said
 */
function runner(program, command, args, { flags = [], env: more = {}, timeout = DEADLINE_MS } = {}) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, KEEPWIRE_PROGRAM: homeOf(program), NO_COLOR: '1', CI: '1', ...more }
    // This file is under a runner itself, which tells its children so.
    for (const name of ['NODE_TEST_CONTEXT', 'NODE_OPTIONS', 'NODE_ENV', 'FORCE_COLOR']) delete env[name]
    const options = { cwd: RUNNERS, env, timeout, killSignal: /** @type {const} */ ('SIGKILL') }
    const file = path.join(homeOf(program), 'node_modules', command)
    execFile(process.execPath, [...flags, file, ...args], options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ended with ${error.code ?? error.signal}:\n${stdout}${stderr}`))
      else resolve(stdout + stderr)
    })
  })
}

test('jest: its fake timers, before and after, and no open handle', { skip: skipped('jest') }, async () => {
  const cache = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-jest-'))
  try {
    const where = ['--rootDir', RUNNERS, '--testMatch', '**/runners/jest.js', '--cacheDirectory', cache]
    const how = ['--transform', '{}', '--runInBand', '--testTimeout', '60000', '--detectOpenHandles']
    const said = await runner('jest', 'jest/bin/jest.js', [...where, ...how])
    assert.match(said, /Tests: +3 passed, 3 total/)
    assert.doesNotMatch(said, /open handle/)
  } finally {
    fs.rmSync(cache, { recursive: true, force: true })
  }
})

test('jest: of the files that are over nothing is kept', {
  skip: skipped('jest'),
  timeout: 2 * LONG_DEADLINE_MS,
}, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-jest-'))
  const { port, stop } = await startServer(IDLE_MS)
  try {
    const body = `require(${JSON.stringify(path.join(RUNNERS, 'heap.js'))})\n`
    for (let at = 0; at < FILES; at += 1) fs.writeFileSync(path.join(folder, `${at}.test.js`), body)
    const where = ['--rootDir', folder, '--cacheDirectory', path.join(folder, 'cache')]
    const how = ['--transform', '{}', '--runInBand', '--reporters', path.join(RUNNERS, 'heap-reporter.js')]
    fs.writeFileSync(path.join(folder, 'package.json'), '{}')
    const options = { flags: ['--expose-gc'], env: { KEEPWIRE_PORT: String(port) }, timeout: LONG_DEADLINE_MS }
    const said = await runner('jest', 'jest/bin/jest.js', [...where, ...how, '--testTimeout', '60000'], options)
    const { heaps, numPassedTests } = JSON.parse(said.split('\n').find((line) => line.startsWith('{')) ?? '{}')
    assert.deepStrictEqual([numPassedTests, heaps.length], [FILES, FILES])
    // The runner itself is late with a context now and then.
    const growth = Math.min(...heaps.slice(-5)) - Math.min(...heaps.slice(7, 12))
    assert.ok(growth < MOST_GROWTH_MB, `MB after each file: ${heaps.map((heap) => heap.toFixed(1)).join(' ')}`)
  } finally {
    await stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
})

test('vitest: its fake timers, before and after', { skip: skipped('vitest') }, async () => {
  assert.match(await runner('vitest', 'vitest/vitest.mjs', ['run', '--root', RUNNERS]), /Tests +3 passed/)
})

test("mocha: with sinon's clock, and supertest after install()", { skip: skipped('mocha') }, async () => {
  assert.match(await runner('mocha', 'mocha/bin/mocha.js', ['--timeout', '60000', 'mocha.js']), /4 passing/)
})

test('ava: ends by itself', { skip: skipped('ava') }, async () => {
  assert.match(await runner('ava', 'ava/entrypoints/cli.mjs', ['--timeout', '60s', 'ava.mjs']), /2 tests passed/)
})

const CLOCKS = /** @type {[program: string | undefined, clock: string, order: string][]} */ ([
  ['sinon', 'sinon', 'first'],
  ['sinon', 'sinon', 'last'],
  [undefined, 'node:test', 'last'],
  [undefined, 'by hand', 'last'],
])
for (const [program, clock, order] of CLOCKS) {
  const isMissing = clock === 'node:test' && (isDeno || (isNode && major < 20))
  const why = isDeno ? "Deno's own functions ask the clock, whoever calls them" : 'there is no such clock'
  const skip = program === undefined ? isMissing && why : skipped(program)
  test(`no request waits for a clock that is faked, by ${clock}, ${order}`, { skip }, async () => {
    const { told } = await runBeside('clocks', { program, args: [clock, order] })
    assert.deepStrictEqual(told, USED)
  })
}
