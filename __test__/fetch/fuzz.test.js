'use strict'

// Calls of fetch() from a seeded generator are the runtime's own in what they send and what they come to. `npm run fuzz:fetch`
// makes more of them.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { runScript } = require('../support/child')
const { ca } = require('../support/fetch-tls')
const { isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const CALLS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 300 : 1_000

for (const seed of [1, 3]) {
  test(`${CALLS} calls differ in nothing but what has a name: seed ${seed}`, {
    skip: (!isNode || major < 20) && "another client is the runtime's own",
    timeout: 180_000,
  }, async (scope) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
    scope.defer(() => fs.rmSync(folder, { recursive: true }))
    const file = path.join(folder, 'ca.pem')
    fs.writeFileSync(file, ca)
    const env = { NODE_EXTRA_CA_CERTS: file }
    const { code, stdout, stderr } = await runScript('fuzz-fetch', [CALLS, seed], { env, deadlineMs: 170_000 })
    assert.strictEqual(code, 0, stdout + stderr)
    assert.match(stdout, new RegExp(`^seed ${seed}: ${CALLS} calls`, 'm'))
  })
}
