'use strict'

// Agents with `shared: true`: idle connections serve all of them, in all threads of the process, and nobody is harmed by the
// end of another.

const assert = require('node:assert')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

const { random, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { test } = require('./support/suite')
const { once, turns, until } = require('./support/wait')

const { explain, fetch } = baseline ? {} : require('..')

const OURS = { ours: 'shares nothing' }
const SHARED = { keepAlive: true, shared: true }
const OK = (_, connection) => connection.write(reply('ok'))

test('agents that share use one connection in turn, and each shows only what it has', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
  await send({ port: peer.port, agent: one })
  for (let i = 0; i < 20; i++) {
    const [agent, idle] = i % 2 === 0 ? [other, one] : [one, other]
    const { request, reused, body } = await send({ port: peer.port, agent })
    assert.deepStrictEqual([body, reused, explain(request).reused], ['ok', true, true])
    assert.strictEqual(request.socket.remotePort, peer.port)
    await until(() => idle.totalSocketCount === 0)
    assert.strictEqual(agent.totalSocketCount, 1)
  }
  assert.strictEqual(peer.accepted, 1)
})

test('an agent for each request opens one connection altogether', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  for (let i = 0; i < 100; i++) await send({ port: peer.port, agent: scope.agent(SHARED) })
  assert.strictEqual(peer.accepted, 1)
})

test('what tells connections apart is not shared', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  await send({ port: peer.port, agent: scope.agent(SHARED) })
  for (const options of [
    { keepAlive: true },
    { ...SHARED, noDelay: false },
    { ...SHARED, localAddress: '127.0.0.1' },
    { ...SHARED, tcpUserTimeout: 5_000 },
  ]) {
    assert.strictEqual((await send({ port: peer.port, agent: scope.agent(options) })).reused, false)
  }
  assert.strictEqual(peer.accepted, 5)
})

for (const [what, headers, answer] of [
  ['a request says NTLM', { Authorization: 'NTLM TlRMTVNTUAAB' }, []],
  ['a request says NTLM to a proxy', { Authorization: 'Basic YTpi', 'Proxy-Authorization': 'NTLM TlRMTVNTUAAB' }, []],
  ['a response asks for Negotiate', {}, ['WWW-Authenticate: Negotiate']],
  ['a response asks for NTLM among others', {}, ['WWW-Authenticate: Basic realm="x"', 'www-authenticate: NTLM']],
]) {
  test(`a connection on which ${what} stays its agent's`, OURS, async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(reply('ok', answer)))
    const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
    await send({ port: peer.port, headers, agent: one })
    await send({ port: peer.port, agent: other })
    assert.strictEqual(peer.accepted, 2)
    assert.strictEqual((await send({ port: peer.port, agent: one })).reused, true)
  })
}

test("a connection on which a fetch was asked for NTLM, or says it, stays its agent's", OURS, async (scope) => {
  const challenges = ['WWW-Authenticate: Basic realm="x", NTLM']
  const peer = await scope.peer(({ target }, connection) =>
    connection.write(
      reply('ok', target === '/asks' ? challenges : [], `HTTP/1.1 ${target === '/asks' ? 401 : 200} Said`),
    ),
  )
  let accepted = 0
  for (const [path, authorization] of [
    ['asks', 'Basic YTpi'],
    ['told', 'NTLM TlRMTVNTUAAB'],
  ]) {
    const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
    const response = await fetch(`http://127.0.0.1:${peer.port}/${path}`, { agent: one, headers: { authorization } })
    assert.strictEqual(await response.text(), 'ok')
    accepted += 2
    assert.strictEqual((await send({ port: peer.port, agent: other })).reused, false)
    assert.strictEqual(peer.accepted, accepted)
    one.destroy()
    other.destroy()
  }
})

test('the end of an agent does not touch what it has lent', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) =>
    request.target === '/held' ? held.push(connection) : OK(request, connection),
  )
  const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
  const first = await send({ port: peer.port, agent: one })
  const answer = send({ port: peer.port, path: '/held', agent: other })
  first.socket.destroy()
  one.destroy()
  await until(() => held.length === 1)
  held[0].write(reply('mine'))
  assert.strictEqual((await answer).body, 'mine')
  assert.strictEqual(peer.accepted, 1)
})

test('each agent keeps to its own limits', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const [one, other] = [scope.agent({ ...SHARED, maxSockets: 1 }), scope.agent({ ...SHARED, maxSockets: 1 })]
  const answers = [one, one, other, other].map((agent) => send({ port: peer.port, agent }))
  await until(() => held.length === 2)
  await turns(10)
  assert.strictEqual(held.length, 2)
  for (let i = 0; i < 4; i++) {
    await until(() => held.length > i)
    held[i].write(reply('ok'))
  }
  await Promise.all(answers)
  assert.strictEqual(peer.accepted, 2)
})

test(
  'a lent connection that the server drops unanswered: a GET is sent again, a POST fails as on any reused one',
  OURS,
  async (scope) => {
    const peer = await scope.peer((request, connection) =>
      connection.requests.length > 1 ? connection.end() : OK(request, connection),
    )
    for (const method of ['GET', 'POST']) {
      const [one, other] = [scope.agent(SHARED), scope.agent(SHARED)]
      await send({ port: peer.port, agent: one })
      const before = peer.requests.length
      const outcome = await send({ port: peer.port, method, agent: other }).then(
        ({ body }) => body,
        ({ code }) => code,
      )
      assert.deepStrictEqual([outcome, peer.requests.length - before], method === 'GET' ? ['ok', 2] : ['ECONNRESET', 1])
      one.destroy()
      other.destroy()
    }
  },
)

/** A thread that makes requests one after another: the runtime's, or our own. */
function client(port, own) {
  const worker = new Worker(path.join(__dirname, 'support/scripts/shared-client.js'), { workerData: { port, own } })
  const ready = once(worker, 'message')
  return { worker, ready, call: (command) => ask(worker, command) }
}

async function ask(worker, command) {
  const answer = once(worker, 'message')
  worker.postMessage(command)
  return (await answer)[0]
}

test('threads share: four clients in turn need one connection', OURS, async (scope) => {
  const remote = await scope.remote()
  const clients = [false, true, false, true].map((own) => client(remote.port, own))
  scope.defer(() => Promise.all(clients.map(({ worker }) => worker.terminate())))
  await Promise.all(clients.map(({ ready }) => ready))
  for (let round = 0; round < 10; round++) {
    for (const [at, { call }] of clients.entries()) {
      const { ok, fast } = await call({ requests: 3 })
      assert.deepStrictEqual([ok, fast], [3, at % 2 === 0 ? 0 : 3])
    }
  }
  assert.strictEqual((await remote.counts()).accepted, 1)
  // At the same time each needs its own.
  for (let round = 0; round < 5; round++) {
    const outcomes = await Promise.all(clients.map(({ call }) => call({ requests: 20 })))
    assert.deepStrictEqual(
      outcomes.map(({ ok }) => ok),
      Array(4).fill(20),
    )
  }
  assert.ok((await remote.counts()).peak <= 4)
})

test(
  'a thread that ends leaves its idle connection to those that share; the last one closes it',
  OURS,
  async (scope) => {
    const remote = await scope.remote()
    const [heir, ...others] = [true, false, true].map((own) => client(remote.port, own))
    scope.defer(() => Promise.all([heir, ...others].map(({ worker }) => worker.terminate())))
    await Promise.all([heir, ...others].map(({ ready }) => ready))
    assert.strictEqual((await heir.call({ requests: 1 })).ok, 1)
    for (const { call, worker } of others) {
      assert.strictEqual((await call({ requests: 1 })).ok, 1)
      await worker.terminate()
      const { accepted, open } = await remote.counts()
      assert.deepStrictEqual({ accepted, open }, { accepted: 1, open: 1 })
    }
    assert.strictEqual((await heir.call({ requests: 2 })).ok, 2)
    assert.strictEqual((await remote.counts()).accepted, 1)
    await heir.worker.terminate()
    await remote.nobodyConnected(30_000)
  },
)

test('threads that are ended in the middle of their requests harm nobody', {
  ...OURS,
  timeout: 60_000,
}, async (scope) => {
  const remote = await scope.remote()
  const next = random(7)
  const times = process.env.KEEPWIRE_SHARED_TERMINATIONS ? Number(process.env.KEEPWIRE_SHARED_TERMINATIONS) : 24
  const survivor = client(remote.port, true)
  scope.defer(() => survivor.worker.terminate())
  await survivor.ready
  for (let ended = 0; ended < times; ended += 4) {
    const doomed = [false, true, false, true].map((own) => client(remote.port, own))
    await Promise.all(doomed.map(({ ready }) => ready))
    for (const { worker } of doomed) worker.postMessage({ requests: 10_000 })
    const calls = Math.floor(next() * 60) + 1
    for (const { worker } of doomed) {
      assert.strictEqual((await survivor.call({ requests: calls })).ok, calls)
      await worker.terminate()
    }
  }
  assert.strictEqual((await survivor.call({ requests: 10 })).ok, 10)
  await survivor.worker.terminate()
  await remote.nobodyConnected(30_000)
})
