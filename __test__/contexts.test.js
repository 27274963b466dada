'use strict'

// Copies of the package that come and go in one process: test runners load it anew for each test file, in a context of its own, and
// programs reload their modules. What nobody uses any more is collected, with its port, its listeners and its connections.

const assert = require('node:assert')

const { runScript } = require('./support/child')
const { isNode } = require('./support/runtime')
const { test } = require('./support/suite')

const COPIES = 12

for (const [what, ...args] of [
  ['a context that nobody uses any more'],
  ['a copy that was replaced by a reload', 'reload'],
]) {
  const skip = isNode ? false : 'nobody can ask this runtime to collect'
  test(`${what} is collected, and its connections are closed`, { skip, timeout: 120_000 }, async (scope) => {
    const remote = await scope.remote()
    const flags = ['--expose-gc']
    const { code, late, lines, stderr } = await runScript('contexts', [remote.port, COPIES, ...args], {
      flags,
      deadlineMs: 100_000,
    })
    assert.ok(!late && code === 0, stderr)
    const [{ held, left, most, statuses }] = lines
    assert.deepStrictEqual(statuses, [200])
    assert.ok(left <= most && held.keys <= 2 * most, JSON.stringify(lines))
  })
}
