'use strict'

// Reuse is exact: never one connection more than needed, whatever the shape of the responses. The server counts, from
// a process of its own. The full-length version is `node __test__/long/exactness.js`.

const assert = require('node:assert')

const { get, send } = require('./support/client')
const { closedLoop, mixedAgents, mixedLoop, sequentialShapes, startAnnouncing } = require('./support/exactness')
const { hasNginx } = require('./support/nginx')
const { testBoth: test } = require('./support/suite')

/** `npm run matrix -- --quick` does fewer on each runtime; the long run is a command of its own. */
const isQuick = process.env.KEEPWIRE_TEST_QUICK === '1'
const REQUESTS = isQuick ? 100 : 1_000

const agentOf = (scope) => (options) => scope.agent(options)

for (const shape of sequentialShapes) {
  test(`sequential requests use 1 connection: ${shape.name}`, async (scope) => {
    const remote = await scope.remote()
    assert.strictEqual(await shape.run(agentOf(scope), remote, REQUESTS), 1)
  })
}

test('a closed loop of 50 with maxSockets 50 uses 50 connections, run after run', async (scope) => {
  const remote = await scope.remote()
  for (let run = 0; run < 3; run++) {
    assert.strictEqual(await closedLoop(agentOf(scope), remote, { width: 50, maxSockets: 50, requests: REQUESTS }), 50)
  }
})

test('200 requests at once with maxSockets 10 use 10 connections', async (scope) => {
  const remote = await scope.remote()
  assert.strictEqual(await closedLoop(agentOf(scope), remote, { width: 200, maxSockets: 10, requests: 200 }), 10)
})

test('a closed loop of 8 without limits never has more than 8 connections', async (scope) => {
  const remote = await scope.remote()
  assert.ok((await closedLoop(agentOf(scope), remote, { width: 8, maxSockets: Infinity, requests: REQUESTS })) <= 8)
})

test("a request made inside an 'end' listener reuses the connection that just ended", {
  ours: 'frees the connection one tick later',
}, async (scope) => {
  const remote = await scope.remote()
  const agent = scope.agent({ keepAlive: true })
  for (let i = 0; i < 50; i++) {
    const first = await send({ port: remote.port, path: '/split', agent, method: 'GET' })
    const nested = await new Promise((resolve, reject) => {
      const outer = get({ port: remote.port, path: '/length', agent }, (response) => {
        response.resume()
        response.on('end', () => send({ port: remote.port, path: '/chunked', agent }).then(resolve, reject))
      })
      outer.on('error', reject)
    })
    assert.strictEqual(first.body + nested.body, 'hello worldhello world')
  }
  assert.strictEqual((await remote.counts()).accepted, 1)
})

for (const [name, options] of Object.entries(mixedAgents)) {
  test(`GETs and POSTs to an nginx that announces each close take no more connections than the runtime's: ${name}`, {
    ours: 'is what ours is compared with',
    skip: hasNginx ? false : 'there is no nginx',
  }, async (scope) => {
    const most = 20
    const port = await startAnnouncing(scope, most, scope.identity)
    for (const posts of isQuick ? [0.5] : [0.5, 1]) {
      const run = { requests: 300, posts, most }
      const ours = options.map((one) => scope.agent(one))
      const theirs = options.map((one) => scope.runtimeAgent(one))
      const [{ used: theirUse }, { used, needless }] = [
        await mixedLoop(theirs, port, run),
        await mixedLoop(ours, port, run),
      ]
      assert.strictEqual(needless, 0)
      // What a loop of 10 has open when it ends may differ.
      assert.ok(used <= theirUse + 10, `${used} connections, the runtime's agents ${theirUse}`)
    }
  })
}
