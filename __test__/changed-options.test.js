'use strict'

// Options of ours that are changed on a living agent: they count from the next request on, whichever way it goes.

const assert = require('node:assert')
const net = require('node:net')

const keepwire = require('..')
const { read, request, send } = require('./support/client')
const { reply } = require('./support/peer')
const { test, testBoth } = require('./support/suite')
const { turns, until } = require('./support/wait')

const OURS = { ours: 'has no such option' }
const SHORT = 30

/** Ways that a request can go: each sends one GET, and resolves with its status, or how it failed. */
const WAYS = {
  'http.request': (options) => outcome(() => ended(request(options))),
  'our own request': (options) => {
    const module = options.agent.protocol === 'https:' ? keepwire.https : keepwire.http
    return outcome(() => ended(module.request({ host: '127.0.0.1', ...options })))
  },
  fetch: async (options) => {
    const { agent, path = '/', port } = options
    try {
      const response = await keepwire.fetch(`${agent.protocol}//127.0.0.1:${port}${path}`, { agent })
      await response.text()
      return response.status
    } catch (error) {
      return error.code ?? error.cause?.code
    }
  },
  "the runtime's sockets": (options) =>
    outcome(() => ended(request({ ...options, hints: 0, lookup, host: 'localhost' }))),
}

/** Only the runtime's sockets ask it. */
function lookup(_host, options, callback) {
  const found = { address: '127.0.0.1', family: 4 }
  process.nextTick(() => (options.all ? callback(null, [found]) : callback(null, found.address, found.family)))
}

function ended(req) {
  req.end()
  return read(req)
}

async function outcome(start) {
  try {
    return (await start()).status
  } catch (error) {
    return error.code
  }
}

const OK = (_, connection) => connection.write(reply('ok'))

/** Answers nothing at /never, a head alone at /begun. */
function partly(message, connection) {
  if (message.target === '/never') return
  if (message.target === '/begun') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab')
  else connection.write(reply('ok'))
}

for (const [way, ask] of Object.entries(WAYS)) {
  for (const [name, path, code] of [
    ['headersTimeout', '/never', 'ERR_KEEPWIRE_HEADERS_TIMEOUT'],
    ['bodyTimeout', '/begun', 'ERR_KEEPWIRE_BODY_TIMEOUT'],
  ]) {
    testBoth(`${name} that is set later bounds the next request (${way})`, OURS, async (scope) => {
      const peer = await scope.peer(partly)
      const agent = scope.agent({ keepAlive: true })
      assert.strictEqual(await ask({ port: peer.port, agent }), 200)
      agent.options[name] = SHORT
      assert.strictEqual(await ask({ port: peer.port, path, agent }), code)
      agent.options[name] = 60_000
      assert.strictEqual(await ask({ port: peer.port, agent }), 200)
    })
  }

  test(`connectTimeout that is set later bounds the next dial (${way})`, OURS, async (scope) => {
    const sockets = new Set()
    const server = net.createServer((socket) => {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
    })
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    scope.defer(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    })
    const { port } = server.address()
    const agent = scope.adopt(new keepwire.https.Agent({ keepAlive: true, connectTimeout: 60_000 }))
    agent.options.connectTimeout = SHORT
    assert.strictEqual(await ask({ port, agent }), 'ERR_KEEPWIRE_CONNECT_TIMEOUT')
  })

  testBoth(
    `maxPending and queueTimeout that are set later count for the next request (${way})`,
    OURS,
    async (scope) => {
      const peer = await scope.peer(partly)
      const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
      const first = ask({ port: peer.port, path: '/never', agent })
      await until(() => peer.requests.length === 1)
      agent.options.queueTimeout = SHORT
      assert.strictEqual(await ask({ port: peer.port, agent }), 'ERR_KEEPWIRE_QUEUE_TIMEOUT')
      agent.options.queueTimeout = 0
      agent.options.maxPending = 0
      assert.strictEqual(await ask({ port: peer.port, agent }), 'ERR_KEEPWIRE_QUEUE_FULL')
      agent.destroy()
      assert.notStrictEqual(await first, 200)
    },
  )

  testBoth(
    `maxRequestsPerSocket that is set later counts from the next request's end (${way})`,
    OURS,
    async (scope) => {
      const peer = await scope.peer(OK)
      const agent = scope.agent({ keepAlive: true })
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(await ask({ port: peer.port, agent }), 200)
        await turns(2)
      }
      assert.strictEqual(peer.accepted, 1)
      agent.options.maxRequestsPerSocket = 1
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(await ask({ port: peer.port, agent }), 200)
        await turns(2)
      }
      // The one that was there serves one more at most.
      assert.ok(peer.accepted >= 3, `${peer.accepted} connections`)
      await until(() => peer.open.size === 0)
    },
  )

  testBoth(`freeSocketTimeout closes what is idle, also if it is set later (${way})`, OURS, async (scope) => {
    const peer = await scope.peer(OK)
    for (const later of [false, true]) {
      const agent = scope.agent({ keepAlive: true, freeSocketTimeout: later ? 60_000 : SHORT })
      if (later) assert.strictEqual(await ask({ port: peer.port, agent }), 200)
      agent.options.freeSocketTimeout = SHORT
      assert.strictEqual(await ask({ port: peer.port, agent }), 200)
      await until(() => peer.open.size === 0)
      await until(() => agent.totalSocketCount === 0)
    }
  })

  testBoth(`what a server says of its connections is kept to (${way})`, OURS, async (scope) => {
    let said
    const peer = await scope.peer((_, connection) => connection.write(reply('ok', [`Keep-Alive: ${said}`])))
    for (const [hint, most] of [
      ['timeout=1', 3],
      ['max=0', 3],
      ['max=5, timeout=60', 1],
    ]) {
      said = hint
      const agent = scope.agent({ keepAlive: true })
      const before = peer.accepted
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(await ask({ port: peer.port, agent }), 200)
        await turns(2)
      }
      assert.strictEqual(peer.accepted - before, most, hint)
    }
  })

  test(`an option that is set to what makes no sense fails the next request (${way})`, OURS, async (scope) => {
    const peer = await scope.peer(OK)
    const agent = scope.agent({ keepAlive: true })
    assert.strictEqual(await ask({ port: peer.port, agent }), 200)
    agent.options.headersTimeout = '5'
    assert.strictEqual(await ask({ port: peer.port, agent }), 'ERR_INVALID_ARG_TYPE')
    agent.options.headersTimeout = 5_000
    agent.options.retry = true
    assert.strictEqual(await ask({ port: peer.port, agent }), 'ERR_INVALID_ARG_VALUE')
    agent.options.retry = false
    assert.strictEqual(await ask({ port: peer.port, agent }), 200)
  })
}

testBoth('retry: false that is set later holds for the next request', OURS, async (scope) => {
  const peer = await scope.peer((message, connection) => {
    if (message.target === '/dropped' && connection.requests.length > 1) connection.socket.destroy()
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  await send({ port: peer.port, agent })
  assert.strictEqual((await send({ port: peer.port, path: '/dropped', agent })).body, 'ok')
  agent.options.retry = false
  await assert.rejects(
    (async () => {
      await send({ port: peer.port, agent })
      await send({ port: peer.port, path: '/dropped', agent })
    })(),
    { code: 'ECONNRESET' },
  )
})

testBoth("socketActiveTTL ends the life of the runtime's sockets too", OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, socketActiveTTL: SHORT })
  assert.strictEqual(await WAYS["the runtime's sockets"]({ port: peer.port, agent }), 200)
  await until(() => peer.open.size === 0)
})
