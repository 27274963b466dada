'use strict'

// Reuse is exact: sequential fetches use one connection, whatever the shape of the responses, and a closed loop as many as
// it is wide. The server counts, from a process of its own. `node __test__/long/fetch-exactness.js` makes more of them.

const assert = require('node:assert')

const { fetch, Agent } = require('../..')
const { closedLoop, sequential, shapes } = require('../support/fetch-exactness')
const { startRemote } = require('../support/remote')
const { test } = require('../support/suite')

const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 300 : 1_000

async function counted(scope, work) {
  // Idle connections of fetches belong to the process: they end with the server.
  const remote = await startRemote()
  scope.defer(() => remote.stop())
  await work(`http://127.0.0.1:${remote.port}`)
  return (await remote.counts()).accepted
}

for (const shape of shapes) {
  test(`sequential fetches use 1 connection: ${shape.name}`, { timeout: 60_000 }, async (scope) => {
    assert.strictEqual(await counted(scope, (origin) => sequential(fetch, origin, shape, REQUESTS)), 1)
  })
}

test('a closed loop of 50 uses 50 connections, run after run', { timeout: 60_000 }, async (scope) => {
  for (let run = 0; run < 3; run++) {
    assert.strictEqual(await counted(scope, (origin) => closedLoop(fetch, origin, 50, REQUESTS)), 50)
  }
})

test("200 fetches at once use as many connections as their agent's maxSockets allows", async (scope) => {
  const agent = scope.agent({ keepAlive: true, maxSockets: 10 })
  const limited = (url) => fetch(url, { agent })
  assert.strictEqual(await counted(scope, (origin) => closedLoop(limited, origin, 200, 200)), 10)
})

test('a followed redirect stays on its connection', async (scope) => {
  const peer = await scope.peer((request, connection) => {
    const moved = request.target === '/'
    connection.write(
      moved
        ? 'HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 5\r\n\r\nmoved'
        : 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    )
  })
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  for (let i = 0; i < 50; i++) assert.strictEqual(await (await fetch(`http://127.0.0.1:${peer.port}/`)).text(), 'ok')
  assert.strictEqual(peer.accepted, 1)
})

test('fetches with and without an agent do not share connections of different settings', async (scope) => {
  const agent = new Agent({ keepAlive: true, noDelay: false })
  const accepted = await counted(scope, async (origin) => {
    for (let i = 0; i < 3; i++) {
      await (await fetch(`${origin}/length`)).text()
      await (await fetch(`${origin}/length`, { agent })).text()
    }
  })
  assert.strictEqual(accepted, 2)
})
