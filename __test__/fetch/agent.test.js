'use strict'

// fetch() over an agent: its connections, limits, deadlines and figures are those of http.request over the same agent.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')
const zlib = require('node:zlib')

const { Agent, HttpsAgent, fetch } = require('../..')
const { reply } = require('../support/peer')
const { isBun } = require('../support/runtime')
const { test } = require('../support/suite')
const { deferred, until } = require('../support/wait')

async function serve(scope, handlers, options) {
  const peer = await scope.peer(handlers)
  const agent = scope.agent({ keepAlive: true, ...options })
  const origin = `http://127.0.0.1:${peer.port}`
  return { agent, origin, peer, text: async (path, init) => (await fetch(origin + path, { agent, ...init })).text() }
}

const answer = (_, connection) => connection.write(reply())
const causedBy = (code) => (error) => {
  assert.ok(error instanceof TypeError, String(error))
  assert.strictEqual(error.cause.code, code)
  return true
}

/** Messages of a diagnostics channel while the test runs. */
function heard(scope, name) {
  const messages = []
  const listen = (message) => messages.push(message)
  diagnostics.subscribe(name, listen)
  scope.defer(() => diagnostics.unsubscribe(name, listen))
  return messages
}

test('a fetch and an http.request of one agent use the same connection', async (scope) => {
  const { agent, origin, peer, text } = await serve(scope, answer)
  await text('/')
  const done = deferred()
  http.get(origin, { agent }, (response) => response.resume().on('end', done.resolve)).on('error', done.reject)
  await done.promise
  await text('/')
  assert.strictEqual(peer.accepted, isBun && process.versions.bun.startsWith('1.3') ? 2 : 1)
})

test('a guard on a connection judges the one that takes its place before a fetch is sent on it', async (scope) => {
  const { agent, origin, peer, text } = await serve(scope, answer)
  const seen = []
  const done = deferred()
  const req = http.get(origin, { agent }, (response) => response.resume().on('end', done.resolve))
  req.on('error', done.reject).on('socket', (socket) => {
    socket.on('connect', () => {
      seen.push(peer.requests.length)
      if (seen.length > 1) socket.destroy(new Error('refused'))
    })
  })
  await done.promise
  const fetched = text('/secret')
  // It has its connection, which dies before a byte of it is written.
  for (const connection of peer.open) connection.reset()
  await assert.rejects(fetched, (error) => error.cause.message === 'refused')
  assert.deepStrictEqual([seen, peer.requests.length], [[0, 1], 1])
})

test('the agent shows the connections of its fetches', async (scope) => {
  const held = deferred()
  const { agent, peer, text } = await serve(scope, (_, connection) => held.resolve(connection))
  const name = `127.0.0.1:${peer.port}:`
  const body = text('/')
  const connection = await held.promise
  assert.deepStrictEqual([agent.sockets[name].length, agent.totalSocketCount], [1, 1])
  connection.write(reply())
  await body
  assert.deepStrictEqual([agent.sockets[name], agent.freeSockets[name].length], [undefined, 1])
})

test('fetches that wait are shown, and can be destroyed', async (scope) => {
  const held = deferred()
  const { agent, peer, text } = await serve(scope, (_, connection) => held.resolve(connection), { maxSockets: 1 })
  const name = `127.0.0.1:${peer.port}:`
  const first = text('/1')
  const second = text('/2', { method: 'DELETE' })
  const [waiting] = agent.requests[name]
  assert.deepStrictEqual([waiting.method, waiting.path], ['DELETE', '/2'])
  const reason = new Error('not needed')
  const refused = assert.rejects(second, (error) => error.cause === reason)
  waiting.destroy(reason)
  await refused
  const connection = await held.promise
  connection.write(reply())
  await first
})

test('agent.destroy() ends fetches, those that wait as well, and closes what is idle', async (scope) => {
  const { agent, peer, text } = await serve(
    scope,
    (request, connection) => request.target === '/idle' && connection.write(reply()),
    { maxSockets: 1 },
  )
  await text('/idle')
  const first = assert.rejects(text('/1'), causedBy('UND_ERR_SOCKET'))
  const second = assert.rejects(text('/2'), causedBy('ECONNRESET'))
  await until(() => peer.requests.length === 2)
  agent.destroy()
  await Promise.all([first, second])
  await until(() => peer.open.size === 0, 'all connections are closed')
  assert.strictEqual(agent.totalSocketCount, 0)
})

test('agent.close() waits for fetches', async (scope) => {
  const held = deferred()
  const { agent, peer, text } = await serve(scope, (_, connection) => held.resolve(connection))
  const body = text('/')
  const connection = await held.promise
  const closed = agent.close()
  connection.write(reply('late'))
  assert.strictEqual(await body, 'late')
  await closed
  await until(() => peer.open.size === 0)
})

test('maxRequestsPerSocket counts', async (scope) => {
  const { agent, peer, text } = await serve(scope, answer, { maxRequestsPerSocket: 2 })
  for (let i = 0; i < 6; i++) await text('/')
  assert.strictEqual(peer.accepted, 3)
  const closed = () => agent.stats().origins[`127.0.0.1:${peer.port}:`].closed
  await until(() => closed()['max-requests'] === 3, 'all three closes are counted')
})

test('the server’s Keep-Alive hint is heeded', async (scope) => {
  const { peer, text } = await serve(scope, (_, connection) =>
    connection.write(reply('ok', ['Keep-Alive: timeout=1, max=100'])),
  )
  await text('/')
  await text('/')
  assert.strictEqual(peer.accepted, 2)
})

test('headersTimeout and bodyTimeout end a fetch whose server is silent', async (scope) => {
  const { origin } = await serve(scope, (request, connection) => {
    if (request.target === '/body') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
  })
  const slowHead = { agent: scope.agent({ headersTimeout: 100 }) }
  await assert.rejects(fetch(`${origin}/head`, slowHead), causedBy('ERR_KEEPWIRE_HEADERS_TIMEOUT'))
  const response = await fetch(`${origin}/body`, { agent: scope.agent({ bodyTimeout: 100 }) })
  await assert.rejects(response.text(), causedBy('ERR_KEEPWIRE_BODY_TIMEOUT'))
})

test('queueTimeout ends a fetch that waits', async (scope) => {
  const held = deferred()
  const options = { maxSockets: 1, queueTimeout: 30 }
  const { text } = await serve(scope, (_, connection) => held.resolve(connection), options)
  const first = text('/1')
  await assert.rejects(text('/2'), causedBy('ERR_KEEPWIRE_QUEUE_TIMEOUT'))
  const connection = await held.promise
  connection.write(reply())
  await first
})

test('retry: false sends nothing again', async (scope) => {
  const drop = (request, connection) =>
    request.target === '/drop' ? connection.socket.destroy() : connection.write(reply())
  const { peer, text } = await serve(scope, drop, { retry: false })
  await text('/')
  await assert.rejects(text('/drop'), causedBy('UND_ERR_SOCKET'))
  assert.strictEqual(peer.requests.filter(({ target }) => target === '/drop').length, 1)
})

test('a request whose response has begun is not sent again', async (scope) => {
  const { peer, text } = await serve(scope, (request, connection) =>
    request.target === '/part' ? connection.end('HTTP/1.1 200 OK\r\nContent-') : connection.write(reply()),
  )
  await text('/')
  await assert.rejects(text('/part'), TypeError)
  assert.strictEqual(peer.requests.filter(({ target }) => target === '/part').length, 1)
})

test('an idempotency key lets a POST be sent once more', async (scope) => {
  let drops = 0
  const { peer, text } = await serve(scope, (request, connection) => {
    if (request.target === '/drop' && drops++ === 0) connection.socket.destroy()
    else connection.write(reply())
  })
  await text('/')
  assert.strictEqual(await text('/drop', { method: 'POST', body: 'x', headers: { 'Idempotency-Key': '1' } }), 'ok')
  assert.strictEqual(peer.requests.filter(({ target }) => target === '/drop').length, 2)
})

test('without keepAlive, connections end with their fetch', async (scope) => {
  const { origin, peer } = await serve(scope, answer)
  const agent = scope.agent({ keepAlive: false })
  for (let i = 0; i < 3; i++) await (await fetch(origin, { agent })).text()
  assert.strictEqual(peer.accepted, 3)
  assert.strictEqual(peer.requests[0].headers.connection, 'close')
})

test('diagnostics channels tell of fetches', async (scope) => {
  const opened = heard(scope, 'keepwire.connection.open')
  const reused = heard(scope, 'keepwire.connection.reuse')
  const queued = heard(scope, 'keepwire.request.queue')
  const { agent, origin, text } = await serve(scope, answer, { maxSockets: 1 })
  await Promise.all([text('/1'), text('/2')])
  await text('/3')
  const ours = (messages) => messages.filter((message) => message.agent === agent)
  assert.deepStrictEqual(
    ours(opened).map(({ request }) => request?.url),
    [`${origin}/1`],
  )
  assert.deepStrictEqual(
    ours(queued).map(({ request }) => [request.method, request.url]),
    [['GET', `${origin}/2`]],
  )
  assert.ok(ours(reused).some(({ request }) => request.url === `${origin}/3`))
})

test('only agents of keepwire for the protocol of the URL are taken', async (scope) => {
  const { origin } = await serve(scope, answer)
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }
  await assert.rejects(fetch(origin, { agent: {} }), refused)
  if (!(http.globalAgent instanceof Agent)) await assert.rejects(fetch(origin, { agent: new http.Agent() }), refused)
  await assert.rejects(fetch(origin, { agent: scope.adopt(new HttpsAgent()) }), refused)
})

test('what only the runtime’s sockets could carry is refused by name', async (scope) => {
  const { origin, peer } = await serve(scope, answer)
  for (const [options, reason] of [
    [{ hints: 32 }, 'socket-option'],
    [{ family: 5 }, 'unusual-option'],
  ]) {
    const agent = scope.agent(options)
    await assert.rejects(fetch(origin, { agent }), (error) => {
      assert.strictEqual(error.code, 'ERR_INVALID_ARG_VALUE')
      assert.ok(error.message.includes(`(${reason})`), error.message)
      return true
    })
  }
  class Own extends Agent {
    createConnection() {
      throw new Error('never')
    }
  }
  const agent = scope.adopt(new Own())
  await assert.rejects(fetch(origin, { agent }), /create-connection/)
  assert.strictEqual(peer.accepted, 0)
})

test('a function chooses the agent of each request, those after redirects as well', async (scope) => {
  const there = await serve(scope, answer)
  const here = await serve(scope, (_, connection) =>
    connection.write(reply('', [`Location: ${there.origin}/there`], 'HTTP/1.1 302 Found')),
  )
  const asked = []
  const agent = (url) => {
    asked.push(url.href)
    return url.origin === here.origin ? here.agent : there.agent
  }
  const response = await fetch(`${here.origin}/`, { agent })
  assert.deepStrictEqual([response.url, await response.text()], [`${there.origin}/there`, 'ok'])
  assert.deepStrictEqual(asked, [`${here.origin}/`, `${there.origin}/there`])
  assert.deepStrictEqual([here.agent.totalSocketCount, there.agent.totalSocketCount], [1, 1])
})

test('a redirect whose body is long costs its connection, and not the fetch', async (scope) => {
  const { peer, text } = await serve(scope, (request, connection) => {
    if (request.target === '/there') connection.write(reply('there'))
    else connection.write(reply('x'.repeat(300_000), ['Location: /there'], 'HTTP/1.1 302 Found'))
  })
  assert.strictEqual(await text('/'), 'there')
  assert.strictEqual(peer.accepted, 2)
})

for (const rest of ['never comes', 'never ends']) {
  test(`a redirect whose body ${rest} costs its connection, and holds nobody up`, async (scope) => {
    const { peer, text } = await serve(
      scope,
      (request, connection) => {
        if (request.target === '/there') return connection.write(reply('there'))
        connection.write('HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n')
        if (rest === 'never comes') return
        const timer = setInterval(() => connection.write('1\r\nx\r\n'), 10)
        connection.socket.on('close', () => clearInterval(timer))
      },
      { maxSockets: 1 },
    )
    assert.deepStrictEqual(await Promise.all([text('/'), text('/')]), ['there', 'there'])
    await until(() => peer.open.size === 1)
  })
}

test('the body of a response that has none is not waited for by the next fetch', async (scope) => {
  const { agent, origin, text } = await serve(
    scope,
    (request, connection) => {
      if (request.target === '/there') return connection.write(reply('there'))
      connection.write('HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
    },
    { maxSockets: 1 },
  )
  const { body, status } = await fetch(origin, { agent })
  assert.deepStrictEqual([status, body], [205, null])
  assert.strictEqual(await text('/there'), 'there')
})

test('a stream of known length is sent with it, and held to it', async (scope) => {
  const { peer, text } = await serve(scope, (request, connection) => connection.write(reply(String(request.body))))
  const stream = (...pieces) =>
    new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(Buffer.from(piece))
        controller.close()
      },
    })
  const post = (body, length) =>
    text('/', { method: 'POST', body, duplex: 'half', headers: { 'Content-Length': length } })
  assert.strictEqual(await post(stream('he', 'llo'), '5'), 'hello')
  assert.strictEqual(peer.requests[0].headers['content-length'], '5')
  for (const wrong of ['4', '6']) {
    await assert.rejects(post(stream('he', 'llo'), wrong), causedBy('UND_ERR_REQ_CONTENT_LENGTH_MISMATCH'))
  }
})

test('a response that comes before the request is sent ends the upload, and its connection', async (scope) => {
  const cancelled = deferred()
  const { peer, text } = await serve(scope, {
    onHead: (_, connection) => connection.write(reply('no')),
    onConnection: (connection) => connection.socket.once('data', () => connection.write(reply('no'))),
  })
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(16)),
    cancel: cancelled.resolve,
  })
  assert.strictEqual(await text('/', { method: 'POST', body, duplex: 'half' }), 'no')
  await cancelled.promise
  await until(() => peer.open.size === 0)
})

test('a body that is given up leaves nothing of its connection behind', async (scope) => {
  const { threadPort } = require('../../lib/bridge/port.js')
  const begun = zlib.gzipSync('hello '.repeat(100)).subarray(0, 15)
  const bodies = { '/plain': 'hello', '/gzip': begun, '/no-gzip': 'hello' }
  const { agent, origin, peer } = await serve(scope, ({ target }, { socket }) => {
    const coding = target === '/plain' ? '' : 'Content-Encoding: gzip\r\n'
    socket.write(`HTTP/1.1 200 OK\r\n${coding}Content-Length: 1000\r\n\r\n`)
    socket.write(bodies[target])
  })
  for (const path of Object.keys(bodies)) {
    const controller = new AbortController()
    const responses = [
      await fetch(origin + path, { agent }),
      await fetch(origin + path, { agent, signal: controller.signal }),
      await fetch(origin + path, { agent }),
    ]
    // Where a stream is read ahead, it may have failed for its coding by now, and says so.
    await responses[0].body.cancel().catch((error) => assert.strictEqual(error.cause.code, 'Z_DATA_ERROR'))
    controller.abort()
    agent.destroy()
    await assert.rejects(responses[2].text(), TypeError)
  }
  const known = () => [...threadPort().connections.values()].filter(({ origin }) => origin.origins.agent === agent)
  await until(() => peer.open.size === 0 && known().length === 0, 'all connections are forgotten')
  assert.strictEqual(agent.totalSocketCount, 0)
})

test('an abort in the same turn of the event loop comes before an agent that can’t carry the request', async (scope) => {
  const agent = scope.agent({ keepAlive: true })
  const controller = new AbortController()
  const fetched = fetch('https://127.0.0.1/', { agent, signal: controller.signal })
  const reason = new RangeError('reason')
  Promise.resolve().then(() => process.nextTick(() => controller.abort(reason)))
  await assert.rejects(fetched, (error) => error === reason)
  await assert.rejects(fetch('https://127.0.0.1/', { agent }), /is for http: and can't carry/)
})
