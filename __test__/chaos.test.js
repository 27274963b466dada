'use strict'

// A server that misbehaves in every way: see support/chaos.js. The full-length version is `npm run chaos`.

const { chaos, HURRY } = require('./support/chaos')
const { testBoth: test } = require('./support/suite')

const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 400 : 2_000

for (const seed of [1, 2]) {
  test(`every request to a server that misbehaves settles once, as it must: seed ${seed}`, {
    timeout: 180_000,
  }, async (scope) => {
    const remote = await scope.remote('chaos-peer.js')
    const agent = scope.agent({ keepAlive: true, maxSockets: 32, headersTimeout: 60_000 })
    const hurried = scope.agent({ keepAlive: true, ...HURRY })
    await chaos({ agent, hurried, remote, requests: REQUESTS, seed })
  })
}
