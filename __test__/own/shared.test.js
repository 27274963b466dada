'use strict'

// Our own request() over agents that share: fast on whatever connection is idle, the agent's own or a lent one, and shared
// by the same rules as the runtime's requests over these agents.

const assert = require('node:assert')

const keepwire = require('../..')
const { read, request: runtimeRequest } = require('../support/client')
const { isFast } = require('../support/fast-recorder')
const { reply } = require('../support/peer')
const { test, testBoth } = require('../support/suite')
const { turns, until } = require('../support/wait')

const SHARED = { keepAlive: true, shared: true }
const OK = (_, connection) => connection.write(reply('ok'))
const NTLM = { Authorization: 'NTLM TlRMTVNTUAAB' }

/** Sends one GET by our request(), or by another one. */
function get(scope, peer, agent, { send = keepwire[scope.scheme].request, ...options } = {}) {
  const request = send({ host: '127.0.0.1', port: peer.port, agent, ...options })
  request.end()
  return read(request)
}

testBoth('agents that share use one connection in turn, by fast requests', async (scope) => {
  const peer = await scope.peer(OK)
  const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
  await get(scope, peer, one)
  for (let i = 0; i < 20; i++) {
    // Each has its turn on the other's connection, and on its own.
    const [agent, idle] = i % 4 < 2 ? [other, one] : [one, other]
    const { request, response, reused, body } = await get(scope, peer, agent)
    assert.ok(isFast(request) && isFast(response))
    assert.deepStrictEqual([body, reused, keepwire.explain(request).reused], ['ok', true, true])
    assert.strictEqual(request.socket.remotePort, peer.port)
    assert.strictEqual(request.socket.encrypted, scope.scheme === 'https' ? true : undefined)
    await until(() => idle.totalSocketCount === 0)
    assert.strictEqual(agent.totalSocketCount, 1)
  }
  assert.strictEqual(peer.accepted, 1)
})

testBoth("stats() counts fast requests of agents that share as the runtime's", async (scope) => {
  const counted = []
  for (const send of [keepwire[scope.scheme].request, runtimeRequest]) {
    const peer = await scope.peer(OK)
    const agents = [scope.agent(SHARED), scope.agent(SHARED), scope.agent(SHARED)]
    for (const agent of [0, 1, 1, 2, 0, 0, 1]) await get(scope, peer, agents[agent], { send })
    await until(() => agents[1].totalSocketCount === 1 && agents[0].totalSocketCount + agents[2].totalSocketCount === 0)
    counted.push(agents.map((agent) => countsOf(agent)))
    assert.strictEqual(peer.accepted, 1)
  }
  assert.deepStrictEqual(counted[0], counted[1])
  assert.deepStrictEqual(
    counted[0].map(({ closed, created, firstBytes, open, reused }) => ({ closed, created, firstBytes, open, reused })),
    [
      { closed: { lent: 2 }, created: 1, firstBytes: 3, open: 0, reused: 2 },
      { closed: { lent: 1 }, created: 0, firstBytes: 3, open: 1, reused: 3 },
      { closed: { lent: 1 }, created: 0, firstBytes: 1, open: 0, reused: 1 },
    ],
  )
})

/** What an agent has counted of its only origin, without times. */
function countsOf(agent) {
  const [{ connectMs, firstByteMs, waitMs, ...counts }] = Object.values(agent.stats().origins)
  return { ...counts, connects: connectMs.count, firstBytes: firstByteMs.count, waits: waitMs.count }
}

for (const [what, headers, answer] of [
  ['a request says NTLM', NTLM, []],
  ['a request says Negotiate to a proxy', { Authorization: 'Basic YTpi', 'proxy-authorization': 'negotiate YII' }, []],
  ['a response asks for Negotiate', {}, ['WWW-Authenticate: Negotiate']],
  ['a response asks for NTLM among others', {}, ['WWW-Authenticate: Basic realm="x"', 'www-authenticate: NTLM']],
  ['a response asks for NTLM behind another', {}, ['Proxy-Authenticate: Basic realm="x", NTLM']],
]) {
  testBoth(`a connection on which ${what} stays its agent's`, async (scope) => {
    const peer = await scope.peer((request, connection) =>
      connection.write(reply('ok', request.target === '/bind' ? answer : [])),
    )
    const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
    await get(scope, peer, one)
    const { request } = await get(scope, peer, one, { path: '/bind', headers })
    assert.ok(isFast(request))
    assert.strictEqual((await get(scope, peer, other)).reused, false)
    assert.strictEqual(peer.accepted, 2)
    // The other one's is free for all; what is bound stays bound.
    const again = await get(scope, peer, one)
    assert.ok(isFast(again.request) && again.reused)
    assert.strictEqual((await get(scope, peer, other)).reused, true)
    assert.strictEqual(peer.accepted, 2)
  })
}

testBoth("credentials that are the request's bind nothing", async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('ok', ['WWW-Authenticate: Basic realm="x"'])))
  for (let i = 0; i < 4; i++) {
    await get(scope, peer, scope.agent(SHARED), { headers: { Authorization: 'Basic YTpi' } })
  }
  assert.strictEqual(peer.accepted, 1)
})

testBoth('what tells connections apart is not shared by fast requests', async (scope) => {
  const peer = await scope.peer(OK)
  const options = [SHARED, { keepAlive: true }, { ...SHARED, noDelay: false }, { ...SHARED, tcpUserTimeout: 5_000 }]
  const agents = options.map((option) => scope.agent(option))
  for (const agent of agents) assert.strictEqual((await get(scope, peer, agent)).reused, false)
  for (const agent of agents) {
    const { request, reused } = await get(scope, peer, agent)
    assert.ok(isFast(request) && reused)
  }
  assert.strictEqual(peer.accepted, options.length)
})

testBoth('a request on a lent connection is sent, whenever somebody looks', async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) =>
    request.target === '/held' ? held.push(connection) : OK(request, connection),
  )
  const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
  await get(scope, peer, one)
  const request = keepwire[scope.scheme].get({ host: '127.0.0.1', port: peer.port, path: '/held', agent: other })
  const answer = read(request)
  // It is on its way, and this thread has not heard of the connection yet.
  await new Promise((resolve) => process.nextTick(() => process.nextTick(resolve)))
  assert.ok(isFast(request))
  assert.deepStrictEqual([request.writableFinished, request.reusedSocket], [true, true])
  assert.ok(request._header.startsWith('GET /held '))
  assert.ok(!isFast(request))
  assert.deepStrictEqual([request.writableFinished, request.reusedSocket], [true, true])
  await until(() => held.length === 1)
  held[0].write(reply('late'))
  assert.strictEqual((await answer).body, 'late')
  assert.strictEqual(peer.accepted, 1)
})

testBoth('a lent connection that the server drops unanswered: a GET is sent again, a POST fails', async (scope) => {
  const peer = await scope.peer((request, connection) =>
    connection.requests.length > 1 ? connection.end() : OK(request, connection),
  )
  for (const method of ['GET', 'POST']) {
    const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
    await get(scope, peer, one)
    const before = peer.requests.length
    const outcome = await get(scope, peer, other, { method }).then(
      ({ body }) => body,
      ({ code }) => code,
    )
    assert.deepStrictEqual([outcome, peer.requests.length - before], method === 'GET' ? ['ok', 2] : ['ECONNRESET', 1])
    one.destroy()
    other.destroy()
  }
})

test('the end of an agent does not touch what it has lent to a fast request', async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) =>
    request.target === '/held' ? held.push(connection) : OK(request, connection),
  )
  const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
  const first = await get(scope, peer, one)
  const answer = get(scope, peer, other, { path: '/held' })
  await turns(1)
  first.request.socket.destroy()
  one.destroy()
  await until(() => held.length === 1)
  held[0].write(reply('mine'))
  const { body, request } = await answer
  assert.deepStrictEqual([body, isFast(request)], ['mine', true])
  assert.strictEqual(peer.accepted, 1)
})
