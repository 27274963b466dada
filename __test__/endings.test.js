'use strict'

// In which order a request, its response, its socket and the callbacks of its writes hear of an end: as from the runtime.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { once } = require('node:events')
const { isDeepStrictEqual } = require('node:util')

const { request, send } = require('./support/client')
const { DEAD_PORT, reply } = require('./support/peer')
const { isBun, isDeno } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { turns, until } = require('./support/wait')

const OK = (_, connection) => connection.write(reply('ok'))
const CHUNK = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'
const turn = () => new Promise((resolve) => setImmediate(resolve))

testBoth(
  'callbacks of writes hear that no connection was opened after the request has heard its error and closed',
  async (scope) => {
    const req = request({ port: DEAD_PORT, agent: scope.agent(), method: 'POST' })
    const log = []
    const done = new Promise((resolve) => {
      req.on('error', (error) => log.push(`error ${error.code}`))
      req.on('close', () => log.push('close'))
      req.write('some', (error) => log.push(`write ${error.code}`))
      req.write('more', (error) => {
        log.push(`write ${error.code}`)
        resolve()
      })
    })
    await done
    const refused = 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION'
    assert.deepStrictEqual(log, ['error ECONNREFUSED', 'close', `write ${refused}`, `write ${refused}`])
  },
)

testBoth(
  'a request that is ended after it has failed has nothing left to send, and its callback is heard as in the runtime',
  async (scope) => {
    const tell = async (make) => {
      const req = make({ port: DEAD_PORT, method: 'POST' })
      req.on('error', () => {})
      req.setHeader('content-length', 4)
      req.write('some')
      await new Promise((resolve) => req.once('close', resolve))
      await turn()
      const { writableLength } = req
      let isCalled = false
      req.end(() => (isCalled = true))
      // In some runtimes it never is.
      await turns(5)
      return { writableLength, isCalled }
    }
    const agent = scope.agent()
    const theirs = agent.protocol === 'https:' ? https : http
    const usual = await tell((options) => request({ ...options, agent: new theirs.Agent() }))
    assert.deepStrictEqual(await tell((options) => request({ ...options, agent })), usual)
    assert.strictEqual(usual.writableLength, 0)
  },
)

/** By what requests end whose peer takes no more of them. */
const ENDS = {
  'req.destroy()': (req) => req.destroy(),
  'req.destroy(error)': (req) => req.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' })),
  'req.abort()': (req) => req.abort(),
  'socket.destroy()': (req) => req.socket.destroy(),
  'socket.destroy(error)': (req) => req.socket.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' })),
  'agent.destroy()': (req) => req.agent.destroy(),
}

/** More than kernels hold for both ends of a connection: 36 MB where `tcp_rmem` and `tcp_wmem` are at most 32 and 4. */
const MORE_THAN_KERNELS_HOLD = 64 * 1024 * 1024

/** What is told of writes that go out as one, and of those that wait behind one that is under way. */
async function endWhileWriting(scope, agent, isWaiting, end) {
  const peer = await scope.peer({ onHead: (_, connection) => connection.socket.pause() })
  const size = MORE_THAN_KERNELS_HOLD
  const req = request({ port: peer.port, agent, method: 'PUT', headers: { 'content-length': size } })
  const log = []
  const closed = new Promise((resolve) => req.on('close', resolve))
  for (const event of ['error', 'abort', 'finish', 'close']) {
    req.on(event, (error) => log.push(error ? `${event} ${error.code}` : event))
  }
  const told = (what) => (error) => log.push(error ? `${what} ${error.code}` : what)
  const open = once(req, 'socket').then(([socket]) => until(() => !socket.connecting && peer.requests.length === 1))
  req.write('some', told('first'))
  if (isWaiting) await open
  req.write(Buffer.alloc(size / 2), told('second'))
  if (isWaiting) await turn()
  req.end(Buffer.alloc(size / 2 - 4), told('end'))
  await open
  await turn()
  log.push('--')
  end(req)
  await closed
  await turn()
  // It hears of the end behind what it has not read.
  for (const { socket } of peer.connections) socket.resume()
  return log
}

for (const [what, end] of Object.entries(ENDS)) {
  testBoth(`callbacks of writes are told as by the runtime when they are under way at ${what}`, async (scope) => {
    for (const isWaiting of [false, true]) {
      let expected = await endWhileWriting(scope, scope.runtimeAgent(), isWaiting, end)
      const log = await endWhileWriting(scope, scope.agent(), isWaiting, end)
      // Bun's own client, over TLS on a busy machine, tells the callbacks only later in one of 20 to 60 runs: asked again.
      for (let again = 0; isBun && again < 3 && !isDeepStrictEqual(log, expected); again += 1) {
        expected = await endWhileWriting(scope, scope.runtimeAgent(), isWaiting, end)
      }
      assert.deepStrictEqual(log, expected)
    }
  })
}

/** So much that more of the same write waits. */
const BEGUN = 3 * 1024 * 1024

/** What is told of an upload that the peer resets when it takes no more. */
async function resetWhileWriting(scope, agent, pieces) {
  const peer = await scope.peer({
    onBytes(_, connection) {
      if (connection.bytesReceived > BEGUN) connection.socket.pause()
    },
  })
  const size = MORE_THAN_KERNELS_HOLD
  const headers = { 'content-length': size }
  const req = request({ port: peer.port, agent, method: 'PUT', headers })
  const log = []
  const told = (what) => (error) => log.push(error ? `${what}: ${error.code} ${error.errno} ${error.message}` : what)
  for (const event of ['error', 'finish']) req.on(event, told(event))
  const closed = new Promise((resolve) => req.on('close', resolve))
  for (let at = 0; at < pieces; at += 1) req.write(Buffer.alloc(size / pieces), told(`write ${at}`))
  await until(() => peer.connections[0]?.bytesReceived > BEGUN)
  peer.connections[0].reset()
  await closed
  await turn()
  return log
}

// Deno's own TLS notices when it writes on: EPIPE.
const onlyHttp = isDeno ? (sentence, ...rest) => test(`http: ${sentence}`, ...rest) : testBoth

for (const pieces of [1, 3]) {
  onlyHttp(
    `a reset in an upload that waits is told as by the runtime, with ${pieces} of its writes waiting`,
    async (scope) => {
      const expected = await resetWhileWriting(scope, scope.runtimeAgent(), pieces)
      assert.deepStrictEqual(await resetWhileWriting(scope, scope.agent(), pieces), expected)
    },
  )
}

testBoth(
  'who puts a listener before all others hears of a connection that breaks off before the response does',
  async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(CHUNK))
    const req = request({ port: peer.port, agent: scope.agent({ keepAlive: true }) })
    const log = []
    req.on('socket', (socket) => {
      socket.on('close', () => log.push('socket'))
      socket.prependListener('close', () => log.push('socket, before'))
    })
    req.on('error', () => {})
    req.on('close', () => log.push('request'))
    req.end()
    const [response] = await once(req, 'response')
    response.on('aborted', () => log.push('aborted'))
    response.on('error', () => {})
    response.once('data', () => peer.connections[0].reset())
    await until(() => log.includes('socket') && log.includes('aborted'))
    assert.deepStrictEqual(log, ['socket, before', 'aborted', 'request', 'socket'])
  },
)

/** Keeps this thread from hearing of anything for a while: what happens meanwhile is told at once. */
function block(ms) {
  const start = performance.now()
  while (performance.now() - start < ms);
}

for (const size of [0, 10, 500_000]) {
  testBoth(
    `whoever is told that ${size} bytes of body are sent has reacted before the response, promises included`,
    async (scope) => {
      const remote = await scope.remote()
      const agent = scope.agent({ keepAlive: true })
      for (let round = 0; round < 6; round += 1) {
        const log = []
        const req = request({
          port: remote.port,
          agent,
          path: '/length',
          method: size === 0 ? 'GET' : 'POST',
          headers: size === 0 ? {} : { 'content-length': size },
        })
        req.on('response', (response) => {
          log.push('response')
          response.resume()
        })
        const closed = once(req, 'close')
        const sent = new Promise((resolve) => req.end(size === 0 ? undefined : Buffer.alloc(size), resolve))
        const reacted = sent.then(() => undefined).then(() => log.push('reacted'))
        for (let times = 0; times < 3; times += 1) {
          await turn()
          block(10)
        }
        await Promise.all([closed, reacted])
        assert.deepStrictEqual(log, ['reacted', 'response'])
        // Each other round is on a fresh connection.
        if (round % 2 === 1) agent.destroy()
      }
    },
  )
}

for (const [what, bytes] of [
  ['a length', reply('ok')],
  ['a body that comes in several pieces', reply('x'.repeat(50_000))],
  ['chunks', `${CHUNK}0\r\n\r\n`],
  ['more chunks', `${CHUNK}${'2\r\nok\r\n'.repeat(9)}0\r\n\r\n`],
  ['trailers', `${CHUNK}0\r\nx-sum: 1\r\n\r\n`],
]) {
  testBoth(`a request that is destroyed in 'response' when all of it is here ends, with ${what}`, async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(bytes))
    const agent = scope.agent({ keepAlive: true })
    const req = request({ port: peer.port, agent })
    const log = []
    for (const event of ['error', 'close']) req.on(event, () => log.push(`request ${event}`))
    req.on('response', (response) => {
      for (const event of ['aborted', 'error', 'end', 'close']) response.on(event, () => log.push(`response ${event}`))
      req.destroy()
    })
    req.end()
    await until(() => log.includes('request close') && log.includes('response close'))
    assert.deepStrictEqual(log, ['response end', 'request close', 'response close'])
    await until(() => peer.open.size === 0)
  })
}

testBoth(
  'a request that is destroyed with an error when all of its response is here ends, and nothing is uncaught',
  async (scope) => {
    const peer = await scope.peer(OK)
    const req = request({ port: peer.port, agent: scope.agent({ keepAlive: true }) })
    const log = []
    req.on('error', ({ message }) => log.push(`error ${message}`))
    req.on('response', (response) => {
      response.on('data', () => req.destroy(new Error('mine')))
      response.on('end', () => log.push('end'))
    })
    req.on('close', () => log.push('close'))
    req.end()
    await until(() => log.includes('close'))
    // The second as the runtime's requests from Node 26 on, whose connection lives on; before, theirs end the process.
    assert.ok(['end error mine close', 'end close'].includes(log.join(' ')), log.join(' '))
  },
)

testBoth("a request whose 'finish' is put off until its response has ended starves nobody", async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const req = request({ port: peer.port, agent, method: 'POST' })
  const held = []
  req.on('socket', (socket) => {
    const own = socket.write
    socket.write = function write(data, encoding, callback) {
      return own.call(this, data, encoding, callback && (() => held.push(callback)))
    }
    req.on('close', () => {
      socket.write = own
    })
  })
  const [answer] = await Promise.all([once(req, 'response'), req.end('body')])
  answer[0].resume()
  await once(answer[0], 'end')
  const next = send({ port: peer.port, agent })
  for (const callback of held) callback()
  assert.strictEqual((await next).body, 'ok')
  assert.strictEqual(peer.accepted, 1)
})

test('a real socket that is removed from its agent is gone at once, and whoever waits has its place', async (scope) => {
  const peer = await scope.peer({})
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = (options, callback) => net.connect(options, callback)
  const first = request({ port: peer.port, agent })
  first.on('error', () => {})
  first.end()
  const [socket] = await once(first, 'socket')
  await until(() => peer.requests.length === 1)
  const second = request({ port: peer.port, agent })
  second.on('error', () => {})
  second.end()
  const [name] = Object.keys(agent.sockets)
  assert.deepStrictEqual(agent.sockets[name], [socket])
  agent.removeSocket(socket, { host: '127.0.0.1', port: peer.port })
  assert.ok(!(agent.sockets[name] ?? []).includes(socket))
  await until(() => peer.requests.length === 2)
  first.destroy()
  second.destroy()
})

for (const [value, most] of [
  ['2', 2],
  [1.5, 2],
]) {
  test(`maxSockets ${JSON.stringify(value)} allows ${most} connections, from the start and when it is set later`, async (scope) => {
    const peer = await scope.peer({})
    for (const later of [false, true]) {
      const agent = scope.agent(later ? { keepAlive: true } : { keepAlive: true, maxSockets: value })
      if (later) agent.maxSockets = value
      const before = peer.requests.length
      const requests = Array.from({ length: 4 }, () => {
        const req = request({ port: peer.port, agent })
        req.on('error', () => {})
        req.end()
        return req
      })
      await until(() => peer.requests.length === before + most)
      assert.strictEqual(Object.values(agent.requests).flat().length, 4 - most)
      for (const req of requests) req.destroy()
    }
  })
}
