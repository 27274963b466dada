'use strict'

// What keepwire tells of itself: explain(), stats(), diagnostics channels, warnings.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')

const { runScript } = require('./support/child')
const { failure, read, send } = require('./support/client')
const { DEAD_PORT, reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { identityFor } = require('./support/server-process')
const { test, testBoth } = require('./support/suite')
const { turns, until } = require('./support/wait')

const { explain, stats } = baseline ? {} : require('..')

const OURS = { ours: 'tells nothing' }
const OK = (_, connection) => connection.write(reply('ok'))

/** Sends a request and returns what explain() says when it is over. */
async function explained(options) {
  const { request } = await send(options)
  return explain(request)
}

test('explain: a first request opens a connection, the next one reuses it', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  const first = await explained({ port: peer.port, agent })
  assert.deepStrictEqual(
    [first.carriedBy, first.reused, first.reason, first.useCount],
    ['keepwire', false, 'none-idle', 0],
  )
  assert.ok(first.connectMs > 0 && first.dnsMs === 0 && first.tlsMs === 0)
  const second = await explained({ port: peer.port, agent })
  assert.deepStrictEqual([second.reused, second.reason, second.useCount], [true, null, 1])
  assert.strictEqual(second.connectionId, first.connectionId)
  assert.strictEqual(second.connectMs, 0)
  assert.strictEqual(explain({}), undefined)
})

test('explain: why a connection was not reused', OURS, async (scope) => {
  const closing = await scope.peer((_, connection) => connection.write(reply('ok', ['Connection: close'])))
  const agent = scope.agent({ keepAlive: true, freeSocketTimeout: 0 })
  await send({ port: closing.port, agent })
  assert.strictEqual((await explained({ port: closing.port, agent })).reason, 'not-reusable')

  const peer = await scope.peer(OK)
  await send({ port: peer.port, agent })
  peer.connections[0].end()
  await until(() => agent.freeSockets[`127.0.0.1:${peer.port}:`] === undefined)
  assert.strictEqual((await explained({ port: peer.port, agent })).reason, 'closed-by-peer')

  const hinted = await scope.peer((_, connection) => connection.write(reply('ok', ['Keep-Alive: timeout=1'])))
  const short = scope.agent({ keepAlive: true, freeSocketTimeout: 20 })
  await send({ port: peer.port, agent: short })
  await until(() => short.totalSocketCount === 0)
  assert.strictEqual((await explained({ port: peer.port, agent: short })).reason, 'idle-timeout')
  await send({ port: hinted.port, agent: short })
  assert.strictEqual((await explained({ port: hinted.port, agent: short })).reason, 'not-reusable')

  const local = await explained({ port: peer.port, localAddress: '127.0.0.1', agent })
  assert.strictEqual(local.reason, 'key-differs: localAddress')
})

test('explain: a request that waits, and one whose connections are all busy', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const requests = Array.from({ length: 3 }, () => http.get({ host: '127.0.0.1', port: peer.port, agent }))
  const answers = requests.map(read)
  await until(() => held.length === 2)
  assert.strictEqual(explain(requests[1]).reason, 'all-busy')
  assert.deepStrictEqual(explain(requests[2]), {
    carriedBy: 'keepwire',
    state: 'queued',
    reused: false,
    waitsFor: 'connection',
  })
  for (const connection of held.splice(0)) connection.write(reply('ok'))
  await until(() => held.length === 1)
  held[0].write(reply('ok'))
  await Promise.all(answers)
  const third = explain(requests[2])
  assert.strictEqual(third.reused, true)
  assert.ok(third.queuedMs > 0)
})

test('explain: a request that was sent again, and one that fell back', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/dropped' && connection.requests.length > 1) connection.end()
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  await send({ port: peer.port, agent })
  const again = await explained({ port: peer.port, path: '/dropped', agent })
  assert.deepStrictEqual(
    [again.retried, again.moved, again.reused, again.reason],
    [true, false, false, 'closed-by-peer'],
  )
  const foreign = await explained({ port: peer.port, hints: 1024, agent })
  assert.deepStrictEqual([foreign.carriedBy, foreign.reason], ['runtime', 'socket-option'])
})

test('stats: what an origin did is counted once', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/dropped' && connection.requests.length > 1) connection.end()
    else if (request.target === '/refused') connection.end()
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1, maxPending: 1 })
  const name = `127.0.0.1:${peer.port}:`
  assert.deepStrictEqual(agent.stats(), { origins: {}, others: null })
  await send({ port: peer.port, agent })
  await send({ port: peer.port, path: '/dropped', agent })
  const all = await Promise.allSettled(
    Array.from({ length: 3 }, () => send({ port: peer.port, method: 'POST', path: '/refused', agent })),
  )
  assert.deepStrictEqual(all.map(({ reason }) => reason.code).sort(), [
    'ECONNRESET',
    'ECONNRESET',
    'ERR_KEEPWIRE_QUEUE_FULL',
  ])
  await until(() => agent.stats().origins[name].open === 0)
  const told = agent.stats().origins[name]
  assert.strictEqual(told.created, 3)
  assert.strictEqual(told.reused, 2)
  assert.strictEqual(told.retried, 1)
  assert.deepStrictEqual(told.errors, { ECONNRESET: 2, ERR_KEEPWIRE_QUEUE_FULL: 1 })
  assert.deepStrictEqual([told.idle, told.leased, told.dialing, told.queued], [0, 0, 0, 0])
  assert.strictEqual(
    Object.values(told.closed).reduce((sum, count) => sum + count, 0),
    3,
  )
  assert.strictEqual(told.connectMs.count, 3)
  assert.strictEqual(told.waitMs.count, 1)
  assert.ok(told.firstByteMs.count === 2 && told.firstByteMs.p50 <= told.firstByteMs.max)
  assert.deepStrictEqual(stats().origins[name].created, 3)
})

test('stats: what is open, idle, queued at the moment', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const answers = [send({ port: peer.port, agent }), send({ port: peer.port, agent })]
  await until(() => held.length === 1)
  const now = () => {
    const { idle, leased, open, queued } = agent.stats().origins[`127.0.0.1:${peer.port}:`]
    return { idle, leased, open, queued }
  }
  assert.deepStrictEqual(now(), { idle: 0, leased: 1, open: 1, queued: 1 })
  held[0].write(reply('ok'))
  await until(() => held.length === 2)
  held[1].write(reply('ok'))
  await Promise.all(answers)
  assert.deepStrictEqual(now(), { idle: 1, leased: 0, open: 1, queued: 0 })
})

test('diagnostics channels: open, reuse, queue, retry, close, in order', OURS, async (scope) => {
  const heard = []
  for (const name of ['connection.open', 'connection.reuse', 'connection.close', 'request.queue', 'request.retry']) {
    const note = (message) => heard.push({ name, ...message })
    diagnostics.subscribe(`keepwire.${name}`, note)
    scope.defer(() => diagnostics.unsubscribe(`keepwire.${name}`, note))
  }
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/dropped' && connection.requests.length > 2) connection.end()
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  await Promise.all([send({ port: peer.port, agent }), send({ port: peer.port, agent })])
  await send({ port: peer.port, path: '/dropped', agent })
  await turns(3)
  agent.destroy()
  await until(() => heard.some(({ name }) => name === 'connection.close'))
  assert.deepStrictEqual(
    heard.map(({ name }) => name),
    [
      'request.queue',
      'connection.open',
      'connection.reuse',
      'connection.reuse',
      'request.retry',
      'connection.open',
      'connection.close',
    ],
  )
  for (const message of heard) {
    assert.strictEqual(message.agent, agent)
    assert.strictEqual(message.origin, `127.0.0.1:${peer.port}:`)
  }
  const [, , , , retry, , close] = heard
  assert.strictEqual(retry.reason, 'closed-by-peer')
  assert.strictEqual(retry.request.path, '/dropped')
  assert.strictEqual(close.reason, 'agent-destroyed')
})

for (const [which, code, expected] of [
  ['agents', 'KEEPWIRE_WARN_AGENT_PER_REQUEST', 1],
  ['agents-silent', 'KEEPWIRE_WARN_AGENT_PER_REQUEST', 0],
  ['agents-reused', 'KEEPWIRE_WARN_AGENT_PER_REQUEST', 0],
  ['unread', 'KEEPWIRE_WARN_UNREAD_BODY', 1],
  ['unread-silent', 'KEEPWIRE_WARN_UNREAD_BODY', 0],
  ['slow', 'KEEPWIRE_WARN_UNREAD_BODY', 0],
]) {
  testBoth(
    `warnings: ${which}: ${expected === 0 ? 'none' : 'one, which names the place'}`,
    OURS,
    async ({ identity }) => {
      const { code: exit, lines, stderr } = await runScript('warnings', [which], { env: identityFor(identity) })
      assert.strictEqual(exit, 0, stderr)
      const warnings = lines.filter((line) => line.code === code)
      assert.strictEqual(warnings.length, expected, JSON.stringify(lines))
      if (expected === 0) return
      const [{ detail, message }] = warnings
      if (which === 'agents') assert.match(detail, /warnings\.js/)
      else assert.match(message, /GET \/unread/)
    },
  )
}

test('preconnect: the connections are there before the first request, within the limits', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  assert.strictEqual(await agent.preconnect(`http://127.0.0.1:${peer.port}`, 2), 2)
  assert.strictEqual(agent.totalSocketCount, 2)
  await until(() => peer.accepted === 2)
  assert.strictEqual(await agent.preconnect(`http://127.0.0.1:${peer.port}`, 5), 3)
  await until(() => peer.accepted === 3)
  const { request, reused } = await send({ port: peer.port, agent })
  assert.strictEqual(reused, true)
  assert.strictEqual(explain(request).reused, true)
  const none = scope.agent({})
  assert.strictEqual(await none.preconnect(`http://127.0.0.1:${peer.port}`), 0)
  await assert.rejects(agent.preconnect('https://127.0.0.1'), { code: 'ERR_INVALID_ARG_VALUE' })
  await assert.rejects(agent.preconnect(`http://127.0.0.1:${peer.port}`, '2'), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('preconnect: a server that is not there is an error, and nothing is left behind', OURS, async (scope) => {
  const agent = scope.agent({ keepAlive: true })
  await assert.rejects(agent.preconnect(`http://127.0.0.1:${DEAD_PORT}`, 2), { code: 'ECONNREFUSED' })
  await until(() => agent.totalSocketCount === 0)
})

test('close: waits for what is under way and waiting, then closes everything', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const answers = [send({ port: peer.port, agent }), send({ port: peer.port, agent })]
  await until(() => held.length === 1)
  let isClosed = false
  const closed = agent.close().then(() => (isClosed = true))
  held[0].write(reply('one'))
  await until(() => held.length === 2)
  assert.strictEqual(isClosed, false)
  held[1].write(reply('two'))
  assert.deepStrictEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    ['one', 'two'],
  )
  await closed
  await peer.nobodyConnected(30_000)
  await scope.agent({}).close()
})

test('close: what is not over by the deadline fails', OURS, async (scope) => {
  const peer = await scope.peer(() => {})
  const agent = scope.agent({ keepAlive: true })
  const failed = failure(send({ port: peer.port, agent }))
  await until(() => peer.requests.length === 1)
  await agent.close({ deadline: 20 })
  assert.strictEqual((await failed).code, 'ECONNRESET')
  await peer.nobodyConnected(30_000)
  await assert.rejects(agent.close({ deadline: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await assert.rejects(agent.close({ deadline: '1' }), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('an agent can be disposed of where the runtime has the symbols', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  for (const symbol of [Symbol.dispose, Symbol.asyncDispose].filter(Boolean)) {
    const agent = scope.agent({ keepAlive: true })
    await send({ port: peer.port, agent })
    await agent[symbol]()
    await peer.nobodyConnected(30_000)
  }
})

test('a process that meets endless origins does not grow: keys and profiles are given back', OURS, async (scope) => {
  const native = require('../lib/bridge/native')
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxTotalSockets: 2 })
  for (let i = 0; i < 1_000; i++) {
    const host = `127.${(i >> 8) & 0xff}.${i & 0xff}.1`
    await send({ host, port: peer.port, agent }).catch(() => {})
  }
  const { keys, profiles } = native.held()
  assert.ok(keys <= 600 && profiles <= 600, `${keys} keys, ${profiles} profiles`)
  const { others } = agent.stats()
  assert.ok(others.errors.ECONNREFUSED > 400, `${JSON.stringify(others.errors)} counted among the others`)
})
