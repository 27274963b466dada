'use strict'

// The options that bound what a request or a connection may take, each with its own error: queueTimeout, headersTimeout,
// bodyTimeout, socketActiveTTL, the hint's max, and retry.

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const http = require('node:http')

const { failure, read, send } = require('./support/client')
const { reply } = require('./support/peer')
const { test } = require('./support/suite')
const { delay, once, turns, until, withMoreTime } = require('./support/wait')

const OURS = { ours: 'has no such option' }
const OK = (_, connection) => connection.write(reply('ok'))
const SHORT = 40

/** Resolves with 'close', whatever comes before it. */
function ended(request) {
  return new Promise((resolve) => request.once('close', resolve))
}

test(
  'queueTimeout: a request that waits longer fails with its own code, and the queue goes on',
  OURS,
  async (scope) => {
    const held = []
    const peer = await scope.peer((request, connection) =>
      request.target === '/held' ? held.push(connection) : OK(request, connection),
    )
    const agent = scope.agent({ keepAlive: true, maxSockets: 1, queueTimeout: SHORT })
    const busy = send({ port: peer.port, path: '/held', agent })
    await until(() => held.length === 1)
    const late = http.get({ host: '127.0.0.1', port: peer.port, path: '/late', agent })
    const closed = ended(late)
    const error = await failure(read(late))
    assert.strictEqual(error.code, 'ERR_KEEPWIRE_QUEUE_TIMEOUT')
    assert.match(error.message, /queueTimeout, 40 ms/)
    await closed
    assert.deepStrictEqual(Object.keys(agent.requests), [])
    // It may wait for as long as a loaded machine needs.
    agent.options.queueTimeout = 0
    const next = send({ port: peer.port, path: '/next', agent })
    held[0].write(reply('done'))
    assert.strictEqual((await busy).body, 'done')
    assert.strictEqual((await next).body, 'ok')
    assert.deepStrictEqual(
      peer.requests.map(({ target }) => target),
      ['/held', '/next'],
    )
  },
)

const LINUX = { ...OURS, skip: process.platform !== 'linux' && 'only Linux has it' }

test('tcpUserTimeout: a peer that takes no more bytes ends the request with ETIMEDOUT', LINUX, async (scope) => {
  const peer = await scope.peer({ onConnection: ({ socket }) => socket.pause(), onBytes() {} })
  const agent = scope.agent({ keepAlive: true, tcpUserTimeout: 10 * SHORT })
  const body = Buffer.alloc(32 * 1024 * 1024)
  const error = await failure(send({ port: peer.port, method: 'POST', agent }, body))
  assert.deepStrictEqual([error.code, error.syscall], ['ETIMEDOUT', 'write'])
  for (const { socket } of peer.open) socket.destroy()
})

/** What the kernel waits for on a connection, and for how long: proc(5), "tr" and "tm->when" of /proc/net/tcp. */
function timerOf({ localPort, remotePort }) {
  const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0')
  const ends = new RegExp(`: [0-9A-F]+:${hex(localPort)} [0-9A-F]+:${hex(remotePort)} 01 `)
  const line = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .find((line) => ends.test(line))
  const [timer, ticks] = line.trim().split(/\s+/)[5].split(':')
  return { timer: Number(timer), seconds: Number.parseInt(ticks, 16) / 100 }
}

test('keepAliveMsecs: the kernel probes an idle connection after that time', LINUX, async (scope) => {
  const KEEP_ALIVE_TIMER = 2
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, keepAliveMsecs: 60_000 })
  const { socket } = await send({ port: peer.port, agent })
  const { seconds } = await until(() => {
    const found = timerOf(socket)
    return found.timer === KEEP_ALIVE_TIMER && found
  })
  assert.ok(seconds > 30 && seconds <= 60, `${seconds} s`)
})

test('headersTimeout: a server that does not answer', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => request.target === '/ok' && OK(request, connection))
  const agent = scope.agent({ keepAlive: true, headersTimeout: SHORT })
  for (const path of ['/fresh', '/reused']) {
    if (path === '/reused') {
      agent.options.headersTimeout = 0
      await send({ port: peer.port, path: '/ok', agent })
      agent.options.headersTimeout = SHORT
    }
    const request = http.get({ host: '127.0.0.1', port: peer.port, path, agent })
    const errors = []
    request.on('error', (error) => errors.push(error.code))
    await ended(request)
    assert.deepStrictEqual(errors, ['ERR_KEEPWIRE_HEADERS_TIMEOUT'])
    assert.strictEqual(request.destroyed, true)
    await peer.nobodyConnected(30_000)
  }
  assert.strictEqual(peer.requests.length, 3)
})

test('headersTimeout: a trickled head does not extend it, an informational response does', OURS, async (scope) => {
  const peer = await scope.peer(async (request, connection) => {
    if (request.target === '/trickle') {
      const trickle = setInterval(() => connection.write('x'), 5)
      connection.closed.promise.finally(() => clearInterval(trickle))
      connection.write('HTTP/1.1 200 OK\r\nX-Slow: ')
      return
    }
    const since = Date.now()
    while (Date.now() - since < 2 * Number(request.target.slice('/hints/'.length))) {
      connection.write('HTTP/1.1 103 Early Hints\r\n\r\n')
      await delay(5)
    }
    connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true, headersTimeout: SHORT })
  const error = await failure(send({ port: peer.port, path: '/trickle', agent }))
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
  await withMoreTime(async (ms) => {
    const patient = scope.agent({ keepAlive: true, headersTimeout: ms })
    assert.strictEqual((await send({ port: peer.port, path: `/hints/${ms}`, agent: patient })).body, 'ok')
  })
})

test('headersTimeout does not run while the request waits for its own body', OURS, async (scope) => {
  const peer = await scope.peer((request, connection) => connection.write(reply(`${request.body}`)))
  await withMoreTime(async (ms) => {
    const agent = scope.agent({ keepAlive: true, headersTimeout: ms })
    const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'POST', agent })
    const answer = read(request)
    answer.catch(() => {})
    request.write('slow ')
    await delay(2 * ms)
    request.end('body')
    assert.strictEqual((await answer).body, 'slow body')
  })
})

test('bodyTimeout: a server that falls silent within the body fails the response', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) =>
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'),
  )
  const agent = scope.agent({ keepAlive: true, bodyTimeout: SHORT })
  const request = http.get({ host: '127.0.0.1', port: peer.port, agent })
  const requestErrors = []
  request.on('error', (error) => requestErrors.push(error.code))
  const closed = ended(request)
  const [response] = await once(request, 'response')
  response.resume()
  const [error] = await once(response, 'error')
  await closed
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_BODY_TIMEOUT')
  assert.strictEqual(response.complete, false)
  assert.deepStrictEqual(requestErrors, [])
  await peer.nobodyConnected(30_000)
})

test('bodyTimeout: a slow but steady body is read to its end, a paused one is left alone', OURS, async (scope) => {
  const big = 'x'.repeat(1_000_000)
  const peer = await scope.peer(async (request, connection) => {
    if (request.target === '/big') return connection.write(reply(big))
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n')
    for (let i = 0; i < 20; i++) {
      await delay(Number(request.target.slice('/slow/'.length)) / 10)
      connection.write('x')
    }
  })
  await withMoreTime(async (ms) => {
    const agent = scope.agent({ keepAlive: true, bodyTimeout: ms })
    assert.strictEqual((await send({ port: peer.port, path: `/slow/${ms}`, agent })).body.length, 20)
    const request = http.get({ host: '127.0.0.1', port: peer.port, path: '/big', agent })
    const [response] = await once(request, 'response')
    await delay(2 * ms)
    let length = 0
    response.on('data', (chunk) => (length += chunk.length))
    await once(response, 'end')
    assert.strictEqual(length, big.length)
  })
})

test('socketActiveTTL: a connection is replaced at the end of its life, between two requests', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  await withMoreTime(async (ms) => {
    const agent = scope.agent({ keepAlive: true, socketActiveTTL: ms })
    const before = peer.accepted
    const since = Date.now()
    let requests = 0
    while (peer.accepted < before + 3) {
      assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
      requests++
      assert.ok(Date.now() - since < 20 * ms + 10_000, 'the connection is never replaced')
    }
    agent.destroy()
    assert.ok(requests > 3, `${requests} requests on 3 connections`)
    await peer.nobodyConnected(30_000)
  })
  assert.strictEqual(peer.peak <= 2, true)
  await peer.nobodyConnected(30_000)
})

test("the Keep-Alive hint's max is kept to, whether the server counts down or repeats it", OURS, async (scope) => {
  for (const countsDown of [true, false]) {
    const peer = await scope.peer((_, connection) => {
      const max = countsDown ? 3 - connection.requests.length : 2
      connection.write(reply('ok', [`Keep-Alive: timeout=60, max=${max}`]))
    })
    const agent = scope.agent({ keepAlive: true })
    for (let i = 0; i < 9; i++) assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
    assert.deepStrictEqual(
      peer.connections.map(({ requests }) => requests.length),
      [3, 3, 3],
    )
  }
})

/** Answers the first request of each connection and drops the second. */
function droppingSecond(request, connection) {
  if (request.target === '/dropped' && connection.requests.length > 1) connection.end()
  else connection.write(reply('ok'))
}

test('retry: false: a GET that is dropped unanswered on a reused connection fails', async (scope) => {
  const peer = await scope.peer(droppingSecond)
  const agent = scope.agent({ keepAlive: true, retry: false })
  await send({ port: peer.port, agent })
  const error = await failure(send({ port: peer.port, path: '/dropped', agent }))
  assert.strictEqual(error.code, 'ECONNRESET')
  await turns(5)
  assert.strictEqual(peer.requests.length, 2)
})

for (const [what, headers] of [
  ['an Idempotency-Key', { 'Idempotency-Key': 'one' }],
  ['an X-Idempotency-Key', { 'x-idempotency-key': 'one' }],
  ['an Idempotency-Key among headers given as an array', ['Host', 'x', 'idempotency-key', 'one']],
]) {
  test(`a POST with ${what} that is dropped unanswered is answered by one retry`, OURS, async (scope) => {
    const peer = await scope.peer(droppingSecond)
    const agent = scope.agent({ keepAlive: true })
    await send({ port: peer.port, agent })
    const { body } = await send({ port: peer.port, path: '/dropped', method: 'POST', headers, agent }, 'body')
    assert.strictEqual(body, 'ok')
    assert.deepStrictEqual(
      peer.requests.map((request) => `${request.target} ${request.body}`),
      ['/ ', '/dropped body', '/dropped body'],
    )
  })
}

test('options that make no sense are refused at construction, with the codes of the runtime', OURS, (scope) => {
  for (const name of [
    'bodyTimeout',
    'connectTimeout',
    'freeSocketTimeout',
    'headersTimeout',
    'maxPending',
    'maxRequestsPerSocket',
    'queueTimeout',
    'socketActiveTTL',
    'tcpUserTimeout',
  ]) {
    assert.throws(() => scope.agent({ [name]: '1' }), { code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError' })
    assert.throws(() => scope.agent({ [name]: -1 }), { code: 'ERR_OUT_OF_RANGE', name: 'RangeError' })
    assert.throws(() => scope.agent({ [name]: Number.NaN }), { code: 'ERR_OUT_OF_RANGE' })
    scope.agent({ [name]: 0 })
  }
  for (const retry of ['all', true, null, 1]) {
    assert.throws(() => scope.agent({ retry }), { code: 'ERR_INVALID_ARG_VALUE', name: 'TypeError' })
  }
  return Promise.resolve()
})
