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
const { isNode, major } = require('../support/runtime')
const { USED } = require('./scripts/use')

const RUNNERS = path.join(__dirname, 'runners')
const DEADLINE_MS = 120_000

/**
 * Runs a runner to its end, which it must come to by itself.
 * @param {string} program
 * @param {string} command in its packages
 * @param {string[]} args
 * @returns {Promise<string>} what it said
 */
function runner(program, command, args) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, KEEPWIRE_PROGRAM: homeOf(program), NO_COLOR: '1', CI: '1' }
    // This file is under a runner itself, which tells its children so.
    for (const name of ['NODE_TEST_CONTEXT', 'NODE_OPTIONS', 'NODE_ENV', 'FORCE_COLOR']) delete env[name]
    const options = { cwd: RUNNERS, env, timeout: DEADLINE_MS, killSignal: /** @type {const} */ ('SIGKILL') }
    const file = path.join(homeOf(program), 'node_modules', command)
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) => {
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
  const isMissing = !isNode || (clock === 'node:test' && major < 20)
  const skip = program === undefined ? isMissing && 'there is no such clock' : skipped(program)
  test(`no request waits for a clock that is faked, by ${clock}, ${order}`, { skip }, async () => {
    const { told } = await runBeside('clocks', { program, args: [clock, order] })
    assert.deepStrictEqual(told, USED)
  })
}
