'use strict'

// With a proxy set, nobody is asked for the target's name and nothing is connected to but the proxy, whatever carries the request:
// in a network namespace of the test's own, where both would be noticed. Linux, and only for who may make one.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { runScript } = require('../support/child')
const { baseline } = require('../support/runtime')
const { test } = require('../support/suite')

/** What runs a command in a network that has nobody else in it, with a name server and an address that is nobody's proxy. */
function ownNetwork(scope) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-network-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  const conf = path.join(folder, 'resolv.conf')
  fs.writeFileSync(conf, 'nameserver 127.0.0.1\noptions timeout:5 attempts:1\n')
  const steps = [
    'mount --bind "$0" /etc/resolv.conf',
    'ip link set lo up',
    'ip address add 10.1.2.3/32 dev lo',
    'exec "$@"',
  ]
  return ['unshare', '-n', '-m', 'sh', '-c', steps.join(' && '), conf]
}

const isPossible = (under) =>
  new Promise((resolve) => execFile(under[0], [...under.slice(1), 'true'], (error) => resolve(error === null)))

test('nothing goes past a proxy, in any way of requesting', { skip: baseline, timeout: 90_000 }, async (scope) => {
  const under = ownNetwork(scope)
  // Said aloud, since a skipped test would look the same on a machine where it must run.
  if (!(await isPossible(under))) return console.log('# no network of our own here: nothing was tested')
  const { code, late, lines, stderr } = await runScript('no-way-around', [], { under, deadlineMs: 80_000 })
  assert.ok(code === 0 && !late, stderr)
  const [through, straight] = lines
  assert.deepStrictEqual([through.queries, through.direct], [[], 0], 'what went past the proxies')
  for (const [way, outcome] of Object.entries(through.outcomes)) {
    const isCarried = /, (?:request|our own request|fetch|redirected fetch|fetch alone|reqwest|its own proxy)$/.test(
      way,
    )
    if (isCarried) assert.strictEqual(outcome, '200', way)
  }
  assert.ok(straight.queries.some((query) => query.startsWith('target.test ')) && straight.direct >= 2, 'it is noticed')
})
