'use strict'

// When the system has nothing left to give, a request fails with what the system says, and the next one tries again.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const path = require('node:path')

const { commandFor } = require('../support/runtime')
const { test } = require('../support/suite')
const { once } = require('../support/wait')

test('requests fail while there is no descriptor left, at first use and later, and succeed when there is one', {
  skip: process.platform === 'win32' ? 'has no such limit' : false,
}, async (scope) => {
  const remote = await scope.remote()
  const script = path.join(__dirname, '../support/scripts/no-descriptors.js')
  const { file, args } = commandFor(script, [`${remote.port}`])
  const child = spawn('sh', ['-c', 'ulimit -n 128; exec "$@"', 'sh', file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => (stdout += text))
  child.stderr.on('data', (text) => (stderr += text))
  scope.defer(() => child.kill('SIGKILL'))
  const [code] = await once(child, 'close')
  assert.strictEqual(code, 0, stderr)
  const rounds = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.strictEqual(rounds.length, 2, stderr)
  for (const { failed, served, left } of rounds) {
    assert.deepStrictEqual(failed.slice(0, 2), ['EMFILE', 'EMFILE'])
    // A resolver that can't open its files says what it likes.
    assert.match(failed[2], /^E/)
    assert.deepStrictEqual([served, left], [['200', '200'], 2])
  }
})
