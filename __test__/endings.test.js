'use strict'

// In which order a request, its response, its socket and the callbacks of its writes hear of an end: as from the runtime.

const assert = require('node:assert')
const net = require('node:net')
const { once } = require('node:events')

const { request, send } = require('./support/client')
const { DEAD_PORT, reply } = require('./support/peer')
const { isDeno, isNode } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { until } = require('./support/wait')

const OK = (_, connection) => connection.write(reply('ok'))
const CHUNK = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'
const hasEndCallbacks = isNode && Number.parseInt(process.versions.node, 10) >= 24

// Deno's own requests do not end here.
testBoth(
  'callbacks of writes hear that no connection was opened after the request has heard its error and closed',
  { skip: isDeno && 'the runtime tells nothing at all' },
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
  'callbacks of writes under way are told after the error of the request that is destroyed',
  { skip: !hasEndCallbacks && 'the runtime takes what is canceled for sent' },
  async (scope) => {
    const peer = await scope.peer({ onHead: (_, connection) => connection.socket.pause() })
    const size = 32 * 1024 * 1024
    const req = request({ port: peer.port, agent: scope.agent(), method: 'PUT', headers: { 'content-length': size } })
    const log = []
    req.on('error', (error) => log.push(`error ${error.code}`))
    req.write(Buffer.alloc(size / 2), (error) => log.push(`write ${error.code}`))
    req.end(Buffer.alloc(size / 2), (error) => log.push(`end ${error.code}`))
    await until(() => peer.requests.length === 1 && !req.socket.connecting)
    req.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' }))
    await new Promise((resolve) => req.on('close', resolve))
    // It hears of the end behind what it has not read.
    for (const { socket } of peer.connections) socket.resume()
    assert.deepStrictEqual(log, ['error ENOUGH', 'write ECANCELED', 'end ECANCELED'])
  },
)

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

for (const [what, bytes] of [
  ['a length', reply('ok')],
  ['chunks', `${CHUNK}0\r\n\r\n`],
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
