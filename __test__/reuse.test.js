'use strict'

// Which connections a request gets: one that may not be sent twice gets none that its server is likely to be closing;
// and what was there before a request counts as reused, whether it has served one or not.

const assert = require('node:assert')

const { failure, get, read, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { testBoth: test } = require('./support/suite')
const { delay, turns, until } = require('./support/wait')

const { explain, fetch, http: ownHttp, https: ownHttps } = baseline ? {} : require('..')

const OURS = { ours: 'has no such thing' }
const OK = (_, connection) => answer(connection, reply('ok'))

/** Writes a response and notes when: a connection is as old as its last response. */
function answer(connection, bytes) {
  connection.answeredAt = performance.now()
  connection.write(bytes)
}

/** Observations that make a limit; src/pool/idle_limit.rs. */
const ENOUGH = 3
/** How much longer than twice the time at which others were closed a connection must last to refute them. */
const SLACK_MS = 500

/**
 * Has the server close idle connections. Resolves with a time that is longer than any of them was idle.
 * @returns {Promise<number>} ms
 */
async function teach(peer, agent, times = ENOUGH) {
  let longest = 0
  for (let i = 0; i < times; i++) {
    await send({ port: peer.port, agent })
    const connection = peer.connections.at(-1)
    connection.end()
    await until(() => agent.totalSocketCount === 0)
    longest = Math.max(longest, performance.now() - connection.answeredAt)
  }
  return longest
}

/** An idle connection that has been so for `ms`. */
async function idleFor(ms, peer, agent) {
  await send({ port: peer.port, agent })
  const since = performance.now()
  await until(() => performance.now() - since > ms)
}

/** Of the only origin. */
const statsOf = (agent) => Object.values(agent.stats().origins)[0]

test('a POST gets a fresh connection if the server has closed others that were idle as long', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  const ms = await teach(peer, agent)
  await idleFor(ms, peer, agent)
  const before = peer.accepted
  const post = await send({ port: peer.port, method: 'POST', agent }, 'x')
  assert.deepStrictEqual([post.body, post.reused, peer.accepted - before], ['ok', false, 1])
  const { reused, reason } = explain(post.request)
  assert.deepStrictEqual([reused, reason], [false, 'idle-too-long'])
  assert.strictEqual(statsOf(agent).passedOver, 1)
  // The idle one is still there, for those that may be sent again.
  const gets = await Promise.all([1, 2].map(() => send({ port: peer.port, agent })))
  assert.deepStrictEqual([gets[0].reused, gets[1].reused, peer.accepted - before], [true, true, 1])
})

test('closes right behind answers teach as well', OURS, async (scope) => {
  const peer = await scope.peer(({ target }, connection) => {
    connection.answeredAt = performance.now()
    connection[target === '/last' ? 'end' : 'write'](reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  let longest = 0
  for (let i = 0; i < ENOUGH; i++) {
    await send({ port: peer.port, path: '/last', agent })
    await until(() => agent.totalSocketCount === 0)
    longest = Math.max(longest, performance.now() - peer.connections.at(-1).answeredAt)
  }
  // As late as a loaded machine may have heard of the closes.
  await idleFor(longest, peer, agent)
  const post = await send({ port: peer.port, method: 'POST', agent }, 'x')
  assert.deepStrictEqual([post.reused, explain(post.request).reason], [false, 'idle-too-long'])
})

/** What announces that a connection ends with a response: options of agent and request, and the response. */
const ANNOUNCED = {
  'the response says close': [{}, {}, reply('ok', ['Connection: close'])],
  'the request says close': [{}, { headers: { Connection: 'close' } }, reply('ok')],
  'the agent keeps no connections': [{ keepAlive: false }, {}, reply('ok')],
  'the body lasts until the close': [{}, {}, 'HTTP/1.1 200 OK\r\n\r\nok'],
  'the server speaks HTTP/1.0': [{}, {}, reply('ok').replace('HTTP/1.1', 'HTTP/1.0')],
}

for (const [what, [agentOptions, options, last]] of Object.entries(ANNOUNCED)) {
  const waysToAsk = {
    'http.request': (asked) => send(asked),
    'our own request': (asked) => {
      const request = (asked.agent.protocol === 'https:' ? ownHttps : ownHttp).request({ host: '127.0.0.1', ...asked })
      request.end()
      return read(request)
    },
    fetch: async ({ agent, headers, path, port }) => {
      const response = await fetch(`${agent.protocol}//127.0.0.1:${port}${path}`, { agent, headers })
      await response.text()
    },
  }
  for (const [name, ask] of Object.entries(waysToAsk)) {
    test(`a close that was announced teaches nothing: ${what}, ${name}`, OURS, async (scope) => {
      const peer = await scope.peer(({ target }, connection) =>
        connection[target === '/last' ? 'end' : 'write'](target === '/last' ? last : reply('ok')),
      )
      const pupil = scope.agent({ keepAlive: true })
      const agent = scope.agent({ keepAlive: true, ...agentOptions })
      for (let i = 0; i < 2 * ENOUGH; i++) {
        await ask({ port: peer.port, path: '/last', agent, ...options })
        await until(() => agent.totalSocketCount === 0)
      }
      await send({ port: peer.port, agent: pupil })
      const post = await send({ port: peer.port, method: 'POST', agent: pupil }, 'x')
      assert.deepStrictEqual([post.body, post.reused], ['ok', true])
    })
  }
}

test('a close without a word after a number of requests teaches nothing about being idle', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) =>
    connection.requests.length === 4 ? connection.end(reply('ok')) : OK(_, connection),
  )
  const agent = scope.agent({ keepAlive: true })
  for (let i = 0; i < 2 * ENOUGH; i++) {
    for (let request = 0; request < 4; request++) {
      if (request === 1) await delay(20)
      await send({ port: peer.port, agent })
    }
    await until(() => agent.totalSocketCount === 0)
  }
  await send({ port: peer.port, agent })
  assert.strictEqual((await send({ port: peer.port, method: 'POST', agent }, 'x')).reused, true)
})

const NEVER_TWICE = [
  ['a PUT', { method: 'PUT' }, 'x'],
  ['a GET with a body that is too long to be kept', { headers: { 'Content-Length': 60_000 } }, 'x'.repeat(60_000)],
  ['a POST of unknown length with an Idempotency-Key', { method: 'POST', headers: { 'Idempotency-Key': '1' } }, 'x'],
]
const PERHAPS_TWICE = [
  ['a HEAD', { method: 'HEAD' }],
  ['a POST with an Idempotency-Key', { method: 'POST', headers: { 'Idempotency-Key': '1', 'Content-Length': 1 } }, 'x'],
]

for (const [isReused, requests] of [
  [false, NEVER_TWICE],
  [true, PERHAPS_TWICE],
]) {
  for (const [what, options, body] of requests) {
    test(`${what} ${isReused ? 'uses' : 'passes over'} what the server may be closing`, OURS, async (scope) => {
      const peer = await scope.peer((request, connection) =>
        answer(connection, request.method === 'HEAD' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : reply('ok')),
      )
      const agent = scope.agent({ keepAlive: true })
      await idleFor(await teach(peer, agent), peer, agent)
      assert.strictEqual((await send({ port: peer.port, agent, ...options }, body)).reused, isReused)
    })
  }
}

test('with retry: false, a GET passes it over as well', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, retry: false })
  await idleFor(await teach(peer, agent), peer, agent)
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
})

test('our own request passes it over, too', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  await idleFor(await teach(peer, agent), peer, agent)
  for (const [method, reason] of [
    ['POST', 'idle-too-long'],
    ['GET', null],
  ]) {
    const { request: begin } = agent.protocol === 'https:' ? ownHttps : ownHttp
    const request = begin({ host: '127.0.0.1', port: peer.port, method, agent })
    request.end()
    await read(request)
    assert.strictEqual(explain(request).reason, reason)
  }
})

test('POSTs that are lost on reused connections teach it, too', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) =>
    request.method === 'POST' && connection.requests.length > 1 ? connection.end() : OK(request, connection),
  )
  const agent = scope.agent({ keepAlive: true })
  let longest = 0
  for (let i = 0; i < ENOUGH; i++) {
    await send({ port: peer.port, agent })
    const error = await failure(send({ port: peer.port, method: 'POST', agent }))
    assert.strictEqual(error.code, 'ECONNRESET')
    longest = Math.max(longest, performance.now() - peer.connections.at(-1).answeredAt)
  }
  await idleFor(longest, peer, agent)
  const post = await send({ port: peer.port, method: 'POST', agent })
  assert.deepStrictEqual([post.body, post.reused], ['ok', false])
})

test('within maxSockets, the connection that is passed over makes room', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  await idleFor(await teach(peer, agent), peer, agent)
  const passedOver = peer.connections.at(-1)
  const post = await send({ port: peer.port, method: 'POST', agent })
  assert.deepStrictEqual([post.body, post.reused, agent.totalSocketCount], ['ok', false, 1])
  await passedOver.sawEnd.promise
})

test('one agent learns for all of the process', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const [teacher, pupil] = [scope.agent({ keepAlive: true }), scope.agent({ keepAlive: true })]
  const ms = await teach(peer, teacher)
  await idleFor(ms, peer, pupil)
  assert.strictEqual((await send({ port: peer.port, method: 'POST', agent: pupil })).reused, false)
})

test('a connection that lasts much longer ends the caution: the server had only restarted', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  let longest = 0
  for (let i = 0; i < ENOUGH; i++) longest = Math.max(longest, await teach(peer, agent, 1))
  // Each was idle for less than it took to notice its end.
  await idleFor(2 * longest + SLACK_MS, peer, agent)
  assert.strictEqual((await send({ port: peer.port, method: 'POST', agent })).reused, true)
  assert.strictEqual(statsOf(agent).passedOver, 0)
})

test('a server that closes nothing costs POSTs nothing', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  for (let i = 0; i < 50; i++) await send({ port: peer.port, method: 'POST', agent }, 'x')
  assert.strictEqual(peer.accepted, 1)
})

test(
  'a request that is given up before it was sent makes its connection no younger, and takes off no hint',
  OURS,
  async (scope) => {
    const peer = await scope.peer((_, connection) => answer(connection, reply('ok', ['Keep-Alive: timeout=2'])))
    const agent = scope.agent({ keepAlive: true })
    await idleFor(await teach(peer, agent), peer, agent)
    const givenUp = get({ port: peer.port, agent })
    const closed = new Promise((resolve) => givenUp.once('error', () => {}).once('close', resolve))
    givenUp.destroy()
    await closed
    assert.strictEqual(agent.totalSocketCount, 1)
    assert.strictEqual((await send({ port: peer.port, method: 'POST', agent })).reused, false)
    // The hint less the buffer: a second.
    await peer.connections.at(-2).sawEnd.promise
  },
)

test("the server's hint counts from its response, however late that is read", OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => answer(connection, reply('ok', ['Keep-Alive: timeout=2'])))
  const agent = scope.agent({ keepAlive: true })
  const request = get({ port: peer.port, agent })
  const response = await new Promise((resolve) => request.on('response', resolve))
  // All of it has arrived in one packet.
  const since = performance.now()
  // The hint less the buffer, and what clocks may differ by.
  await until(() => performance.now() - since > 1_010)
  response.resume()
  await new Promise((resolve) => response.on('end', resolve))
  const next = await send({ port: peer.port, agent })
  assert.deepStrictEqual([next.reused, explain(next.request).reason], [false, 'not-reusable'])
})

/** Closes every connection that its first request comes on, except those that come after the first connection. */
const dropsFirst = (peer) => (request, connection) =>
  connection === peer.connections[0] ? connection.end() : OK(request, connection)

test('a preconnected connection that drops its first GET unanswered: it is sent again', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => dropsFirst(peer)(request, connection))
  const agent = scope.agent({ keepAlive: true })
  await agent.preconnect(`${agent.protocol}//127.0.0.1:${peer.port}`)
  const { body, request } = await send({ port: peer.port, agent })
  const { retried, reason } = explain(request)
  assert.deepStrictEqual([body, retried, reason, peer.accepted], ['ok', true, 'closed-by-peer', 2])
})

test(
  'a preconnected connection that drops its first POST unanswered: it fails, and is sent once',
  OURS,
  async (scope) => {
    const peer = await scope.peer((request, connection) => dropsFirst(peer)(request, connection))
    const agent = scope.agent({ keepAlive: true })
    await agent.preconnect(`${agent.protocol}//127.0.0.1:${peer.port}`)
    const error = await failure(send({ port: peer.port, method: 'POST', agent }))
    assert.deepStrictEqual([error.code, peer.requests.length], ['ECONNRESET', 1])
  },
)

test('a connection opened for a request that was given up is a reused one to the next', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => dropsFirst(peer)(request, connection))
  const agent = scope.agent({ keepAlive: true })
  await agent.preconnect(`${agent.protocol}//127.0.0.1:${peer.port}`)
  const givenUp = get({ port: peer.port, agent }).on('error', () => {})
  givenUp.destroy()
  await turns(2)
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
  assert.strictEqual(peer.accepted, 2)
})

test('a fresh connection that drops its GET unanswered is the answer', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => dropsFirst(peer)(request, connection))
  const agent = scope.agent({ keepAlive: true })
  const error = await failure(send({ port: peer.port, agent }))
  assert.deepStrictEqual([error.code, peer.accepted], ['ECONNRESET', 1])
})
