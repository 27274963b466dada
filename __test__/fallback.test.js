'use strict'

// What the engine does not carry falls back to the runtime's sockets: upgrades, CONNECT, connections made
// by the user, custom look-ups. The agent's tables and limits hold for them as for all others.

const assert = require('node:assert')
const { createHash } = require('node:crypto')
const dns = require('node:dns')
const http = require('node:http')
const net = require('node:net')

const { failure, parallel, read, send } = require('./support/client')
const { reply } = require('./support/peer')
const { agentUnderTest, isBun, isDeno } = require('./support/runtime')
const { test } = require('./support/suite')
const { once, turns, until } = require('./support/wait')

const Agent = agentUnderTest()
const KEEP_ALIVE = { keepAlive: true }
const UPGRADE = { Connection: 'Upgrade', Upgrade: 'echo' }
const OK = (_, connection) => connection.write(reply('ok'))

/** Answers upgrades with 101 and echoes what follows; the rest with 'ok'. */
function upgrading() {
  return {
    onHead(request, connection) {
      if (!request.headers.upgrade && request.method !== 'CONNECT') return
      request.upgraded = true
      connection.socket.removeAllListeners('data')
      connection.write(
        request.method === 'CONNECT'
          ? 'HTTP/1.1 200 Connection Established\r\nX-Proxy: yes\r\n\r\nearly '
          : 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ',
      )
      connection.socket.on('data', (bytes) => connection.socket.write(bytes))
      connection.socket.on('end', () => connection.end())
    },
    onRequest: (request, connection) => request.upgraded || OK(request, connection),
  }
}

async function echoThrough(socket, head) {
  let text = head.toString('latin1')
  socket.on('data', (chunk) => (text += chunk))
  socket.write('ping')
  await until(() => text === 'early ping', `the echo arrives; so far: ${text}`)
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.end()
  await closed
}

test('an upgrade: the user gets a socket that talks both ways', async (scope) => {
  const peer = await scope.peer(upgrading())
  const agent = scope.agent(KEEP_ALIVE)
  const request = http.get({ host: '127.0.0.1', port: peer.port, headers: UPGRADE, agent })
  const [response, socket, head] = await once(request, 'upgrade')
  assert.strictEqual(response.statusCode, 101)
  assert.ok(socket instanceof net.Socket)
  await echoThrough(socket, head)
  await until(() => agent.totalSocketCount === 0)
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
})

test('an upgrade that the server answers as a plain request', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 2; i++) {
    const answer = await send({ port: peer.port, headers: UPGRADE, agent })
    assert.strictEqual(answer.body, 'ok')
  }
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
})

test('CONNECT: a tunnel through the agent', async (scope) => {
  const peer = await scope.peer(upgrading())
  const agent = scope.agent(KEEP_ALIVE)
  const request = http.request({
    host: '127.0.0.1',
    port: peer.port,
    method: 'CONNECT',
    path: 'example.test:443',
    agent,
  })
  request.end()
  const [response, socket, head] = await once(request, 'connect')
  assert.strictEqual(response.statusCode, 200)
  assert.strictEqual(response.headers['x-proxy'], 'yes')
  await echoThrough(socket, head)
  await until(() => agent.totalSocketCount === 0)
  assert.strictEqual(peer.requests[0].target, 'example.test:443')
})

test('an upgraded connection frees its place under maxSockets', async (scope) => {
  const peer = await scope.peer(upgrading())
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const request = http.get({ host: '127.0.0.1', port: peer.port, headers: UPGRADE, agent })
  const queued = send({ port: peer.port, agent })
  const [, socket, head] = await once(request, 'upgrade')
  assert.strictEqual((await queued).body, 'ok')
  await echoThrough(socket, head)
})

test('a WebSocket of ws over our agent', {
  skip: isBun && 'the runtime replaces ws, and its own takes no agent',
}, async (scope) => {
  const WebSocket = require('ws')
  const server = new WebSocket.Server({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  server.on('connection', (socket) => socket.on('message', (message, binary) => socket.send(message, { binary })))
  const agent = scope.agent({ keepAlive: true, maxSockets: 4 })
  await Promise.all(
    Array.from({ length: 4 }, async (_, i) => {
      const client = new WebSocket(`ws://127.0.0.1:${server.address().port}/`, { agent })
      await once(client, 'open')
      const echoes = []
      client.on('message', (message) => echoes.push(message.toString()))
      for (let n = 0; n < 20; n++) client.send(`${i}-${n}`)
      client.send('x'.repeat(100_000))
      await until(() => echoes.length === 21)
      assert.deepStrictEqual(echoes.slice(0, 3), [`${i}-0`, `${i}-1`, `${i}-2`])
      assert.strictEqual(echoes[20].length, 100_000)
      client.close()
      await once(client, 'close')
    }),
  )
})

test('a raw WebSocket handshake by http.request carries its accept key', async (scope) => {
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  const peer = await scope.peer({
    onHead(request, connection) {
      request.upgraded = true
      const accept = createHash('sha1')
        .update(request.headers['sec-websocket-key'] + guid)
        .digest('base64')
      connection.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
    },
  })
  const request = http.request({
    host: '127.0.0.1',
    port: peer.port,
    agent: scope.agent(KEEP_ALIVE),
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': 13,
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  })
  request.end()
  const [response, socket] = await once(request, 'upgrade')
  assert.strictEqual(response.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  socket.destroy()
})

for (const [way, make] of [
  [
    'overridden in a subclass',
    (scope, connect) => {
      class Own extends Agent {
        createConnection(options) {
          return connect(options)
        }
      }
      return scope.adopt(new Own({ keepAlive: true, maxSockets: 2 }))
    },
  ],
  [
    'assigned to the agent',
    (scope, connect) => {
      const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
      agent.createConnection = connect
      return agent
    },
  ],
]) {
  test(`createConnection ${way} makes the connections, and they are reused and limited`, async (scope) => {
    const peer = await scope.peer((_, connection) => setImmediate(() => connection.write(reply('ok'))))
    let made = 0
    const agent = make(scope, (options) => {
      made++
      return net.createConnection({ host: options.host, port: options.port })
    })
    for (let i = 0; i < 3; i++) {
      assert.strictEqual((await send({ port: peer.port, agent })).reused, i > 0)
      await turns(2)
    }
    assert.strictEqual(made, 1)
    await parallel(10, () => ({ port: peer.port, agent }))
    assert.strictEqual(made, 2)
    assert.strictEqual(peer.accepted, 2)
    await turns(2)
    assert.strictEqual(agent.totalSocketCount, 2)
  })
}

test('createConnection that answers by callback', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  agent.createConnection = (options, callback) => {
    const socket = net.connect(options.port, options.host, () => callback(null, socket))
    socket.on('error', callback)
  }
  for (let i = 0; i < 3; i++) {
    assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
    await turns(2)
  }
  assert.strictEqual(peer.accepted, 1)
})

test("createConnection that fails by callback: the runtime's own error", async (scope) => {
  const outcome = async (agent) => {
    agent.createConnection = (_, callback) => {
      setImmediate(() => callback(Object.assign(new Error('no connection today'), { code: 'NOT_TODAY' })))
    }
    const error = await failure(send({ port: 1, agent }))
    return [error.code, error.message]
  }
  assert.deepStrictEqual(await outcome(scope.agent(KEEP_ALIVE)), await outcome(scope.runtimeAgent(KEEP_ALIVE)))
})

test('createConnection as an option of one request', async (scope) => {
  const peer = await scope.peer(OK)
  const outcome = async (agent) => {
    let made = 0
    const createConnection = (options) => {
      made++
      return net.connect(options.port, options.host)
    }
    const { body } = await send({ port: peer.port, agent, createConnection })
    await turns(2)
    await send({ port: peer.port, agent })
    return [body, made]
  }
  assert.deepStrictEqual(await outcome(scope.agent(KEEP_ALIVE)), await outcome(scope.runtimeAgent(KEEP_ALIVE)))
})

test('a custom lookup of the request is asked', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const asked = []
  const lookup = (host, options, callback) => {
    asked.push(host)
    setImmediate(() =>
      options.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
    )
  }
  for (let i = 0; i < 3; i++) {
    assert.strictEqual((await send({ host: 'made-up.test', port: peer.port, agent, lookup })).body, 'ok')
    await turns(2)
  }
  assert.deepStrictEqual(asked, ['made-up.test'])
  assert.strictEqual(peer.accepted, 1)
  assert.strictEqual(peer.requests[0].headers.host, `made-up.test:${peer.port}`)
})

test('a custom lookup of the agent is asked', async (scope) => {
  const peer = await scope.peer(OK)
  const asked = []
  const lookup = (host, options, callback) => {
    asked.push(host)
    setImmediate(() =>
      options.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
    )
  }
  const agent = scope.agent({ keepAlive: true, lookup })
  for (const host of ['one.test', 'two.test', 'one.test']) {
    assert.strictEqual((await send({ host, port: peer.port, agent })).body, 'ok')
    await turns(2)
  }
  assert.deepStrictEqual(asked, ['one.test', 'two.test'])
  assert.strictEqual(peer.accepted, 2)
})

test('a replaced dns.lookup is asked, as by the runtime', {
  skip: isDeno && 'the runtime itself does not look at it',
}, async (scope) => {
  const peer = await scope.peer({ onRequest: OK })
  const agent = scope.agent(KEEP_ALIVE)
  const runtimeLookup = dns.lookup
  const asked = []
  dns.lookup = (host, options, callback) => {
    asked.push(host)
    if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }])
    else callback(null, '127.0.0.1', 4)
  }
  try {
    assert.strictEqual((await send({ host: 'made-up.test', port: peer.port, agent })).body, 'ok')
  } finally {
    dns.lookup = runtimeLookup
  }
  assert.deepStrictEqual(asked, ['made-up.test'])
  await failure(send({ host: 'made-up.test.invalid', port: peer.port, agent }))
})

test('a custom lookup that fails: its error, and the next request works', async (scope) => {
  const peer = await scope.peer(OK)
  const outcome = async (agent) => {
    const lookup = (_host, _options, callback) =>
      setImmediate(() => callback(Object.assign(new Error('unknown to me'), { code: 'ENOTHERE' })))
    const error = await failure(send({ host: 'made-up.test', port: peer.port, agent, lookup }))
    const next = await send({ port: peer.port, agent })
    return [error.code, error.message, next.body]
  }
  assert.deepStrictEqual(await outcome(scope.agent(KEEP_ALIVE)), await outcome(scope.runtimeAgent(KEEP_ALIVE)))
})

test('plain requests and ones with a connection of their own share one limit', async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) => held.push(() => connection.write(reply(request.target))))
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const answers = [0, 1, 2, 3, 4, 5].map((i) =>
    send({ port: peer.port, path: `/${i}`, agent, headers: i % 2 ? UPGRADE : {} }),
  )
  for (let i = 0; i < 6; i++) {
    await until(() => held.length > i)
    assert.ok(agent.totalSocketCount <= 2)
    // A server may hear of a new connection before it hears of the end of the one that made room for it.
    await until(() => peer.alive <= 2, 'no more than 2 connections were alive')
    held[i]()
  }
  assert.deepStrictEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    ['/0', '/1', '/2', '/3', '/4', '/5'],
  )
})

test('an agent of another class may wrap ours', {
  skip: isBun && 'the runtime insists on an agent of a class of its own',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const inner = scope.agent(KEEP_ALIVE)
  const outer = {
    defaultPort: 80,
    protocol: 'http:',
    options: {},
    keepAlive: true,
    maxSockets: Infinity,
    addRequest: (request, options) => inner.addRequest(request, options),
    destroy() {},
  }
  const bodies = []
  for (let i = 0; i < 3; i++) {
    bodies.push((await send({ port: peer.port, agent: outer })).body)
    await turns(2)
  }
  assert.deepStrictEqual(bodies, ['ok', 'ok', 'ok'])
  assert.strictEqual(peer.accepted, 1)
})

test('a request with agent: false and one without an agent go past ours', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent: false })
  assert.strictEqual(agent.totalSocketCount, 0)
  assert.match(peer.requests[0].head, /Connection: close/i)
})

test('insecureHTTPParser lets through what the strict parser refuses', {
  skip: (isBun || isDeno) && 'the runtime has no lenient parser',
}, async (scope) => {
  const peer = await scope.peer((_, connection) =>
    connection.write('HTTP/1.1 200 OK\r\nX-Odd: a\x01b\r\nContent-Length: 2\r\n\r\nok'),
  )
  const agent = scope.agent(KEEP_ALIVE)
  assert.match((await failure(send({ port: peer.port, agent }))).code, /^HPE_INVALID_HEADER/)
  const { body, headers } = await send({ port: peer.port, agent, insecureHTTPParser: true })
  assert.deepStrictEqual([body, headers['x-odd']], ['ok', 'a\x01b'])
})

test('a request that ends late is read by its own parser only', async (scope) => {
  const peer = await scope.peer(upgrading())
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const upgrade = http.request({ host: '127.0.0.1', port: peer.port, headers: UPGRADE, agent })
  upgrade.on('error', () => {})
  const waiting = http.get({ host: '127.0.0.1', port: peer.port, agent })
  const answer = read(waiting)
  upgrade.destroy()
  assert.strictEqual((await answer).body, 'ok')
})

test('addresses with a zone, abstract sockets and a type of service are as with the runtime', {
  skip: process.platform !== 'linux' && 'names of Linux',
}, async (scope) => {
  const name = `\0keepwire-${process.pid}`
  const server = http.createServer((_, response) => response.end('abstract'))
  server.listen(name)
  await once(server, 'listening')
  scope.defer(() => server.close())
  const peer = await scope.peer(OK)
  const told = async (options, agent) => {
    try {
      const { body } = await send({ port: peer.port, ...options, agent })
      return body
    } catch ({ code, message, address, port }) {
      return [code, message, address, port]
    }
  }
  for (const options of [
    { host: '::1%lo', port: 1 },
    { host: '::1', localAddress: '::1%lo', port: 1 },
    { socketPath: name },
    { socketPath: `${name}-refused` },
    { host: '127.0.0.1', typeOfService: 16 },
    { host: '127.0.0.1', typeOfService: 256 },
  ]) {
    const expected = await told(options, scope.runtimeAgent({}))
    assert.deepStrictEqual(await told(options, scope.agent(KEEP_ALIVE)), expected, JSON.stringify(options))
  }
})

test("a type of service is set on the runtime's sockets", {
  skip: !net.Socket.prototype.getTypeOfService && 'this runtime knows of none',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const seen = []
  for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
    const request = http.get({ host: '127.0.0.1', port: peer.port, typeOfService: 16, agent })
    const [socket] = await once(request, 'socket')
    await read(request)
    seen.push([socket.getTypeOfService(), typeof socket._handle])
  }
  assert.deepStrictEqual(seen[1], seen[0])
})

test('an idle socket has the timeout that a subclass gives it, longer than its agent has', async (scope) => {
  const peer = await scope.peer(OK)
  class Longer extends Agent {
    keepSocketAlive(socket) {
      if (!super.keepSocketAlive(socket)) return false
      socket.setTimeout(150)
      return true
    }
  }
  const agent = scope.adopt(new Longer({ keepAlive: true, timeout: 100 }))
  const told = []
  const request = http.get({
    host: '127.0.0.1',
    port: peer.port,
    agent,
    createConnection: (options) => net.connect(options),
  })
  const [socket] = await once(request, 'socket')
  await read(request)
  // Before that it has its agent's, which a loaded machine may need for an answer.
  for (const event of ['timeout', 'close']) socket.on(event, () => told.push(`${event} ${socket.timeout}`))
  await until(() => told.length === 2)
  assert.deepStrictEqual(told, ['timeout 150', 'close 150'])
})
