'use strict'

// What servers and users do to pooled connections, and today's agents don't survive (SPEC: "Behaviours where today's
// agents fail"), over http and over https. On the runtime's own agents these tests are skipped, each with what they do instead.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { failure, get, inLanes, read, request: begin, send } = require('./support/client')
const { reply } = require('./support/peer')
const { isDeno } = require('./support/runtime')
const { testBoth: test } = require('./support/suite')
const { delay, once, repeatedly, turns, until } = require('./support/wait')

const KEEP_ALIVE = { keepAlive: true }
// Deno's own agent sends again whatever was dropped on a reused connection, a POST as well.
const DENO_RETRIES = isDeno ? { ours: 'sends it twice' } : {}
const OK = (_, connection) => connection.write(reply('ok'))

/** Blocks the JavaScript thread, as a long computation does. */
function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

test('a server that sends FIN after each reply, unannounced: 100 sequential GETs succeed', {
  ours: '50 fail',
}, async (scope) => {
  const remote = await scope.remote()
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 100; i++) {
    const { body } = await send({ port: remote.port, path: '/fin', agent })
    assert.strictEqual(body, 'hello world')
  }
})

test('a server that sends FIN after each reply, unannounced: 50 requests queued on one socket succeed', {
  ours: '25 fail',
}, async (scope) => {
  const remote = await scope.remote()
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const answers = await Promise.all(Array.from({ length: 50 }, () => send({ port: remote.port, path: '/fin', agent })))
  assert.deepStrictEqual(new Set(answers.map(({ body }) => body)), new Set(['hello world']))
  assert.ok((await remote.counts()).peak <= 2)
})

for (const method of ['GET', 'POST']) {
  test(`the JavaScript thread is blocked while the server closes an idle connection: a ${method} then succeeds`, {
    ours: 'fails with ECONNRESET',
  }, async (scope) => {
    const remote = await scope.remote()
    const agent = scope.agent(KEEP_ALIVE)
    for (let i = 0; i < 5; i++) {
      await send({ port: remote.port, path: '/fin-after?20', agent })
      await turns(2)
      block(300)
      const { body } = await send(
        { port: remote.port, path: '/echo', method, agent },
        method === 'POST' ? 'x' : undefined,
      )
      assert.strictEqual(body, method === 'POST' ? 'x' : '')
    }
  })
}

/** Serves `served` requests of each of the first connections, then drops the next one unanswered. */
function dropping({ dropped = 1, how = 'end' } = {}) {
  let left = dropped
  return (request, connection) => {
    if (request.target === '/dropped' && connection.requests.length > 1 && left > 0) {
      left--
      connection[how]()
      return
    }
    connection.write(reply('ok'))
  }
}

for (const how of ['end', 'reset']) {
  test(`a GET that is dropped unanswered (${how}) on a reused connection is answered by one retry`, {
    ours: 'fails',
  }, async (scope) => {
    const peer = await scope.peer(dropping({ how }))
    const agent = scope.agent(KEEP_ALIVE)
    await send({ port: peer.port, agent })
    const { body } = await send({ port: peer.port, path: '/dropped', agent })
    assert.strictEqual(body, 'ok')
    assert.deepStrictEqual(
      peer.requests.map(({ target }) => target),
      ['/', '/dropped', '/dropped'],
    )
    assert.strictEqual(peer.accepted, 2)
  })
}

test('a GET is retried once, not twice', { ours: 'does not retry' }, async (scope) => {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/dropped') return connection.end()
    connection.write(reply('ok'))
  })
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent })
  const error = await failure(send({ port: peer.port, path: '/dropped', agent }))
  assert.strictEqual(error.code, 'ECONNRESET')
  assert.strictEqual(peer.requests.filter(({ target }) => target === '/dropped').length, 2)
})

test('a GET that is dropped on a fresh connection is not retried', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.end())
  const error = await failure(send({ port: peer.port, agent: scope.agent(KEEP_ALIVE) }))
  assert.deepStrictEqual([error.code, error.message], ['ECONNRESET', 'socket hang up'])
  assert.strictEqual(peer.requests.length, 1)
})

test('a GET whose response has begun is not retried', DENO_RETRIES, async (scope) => {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/half') return connection.end('HTTP/1.1 200 OK\r\nConte')
    connection.write(reply('ok'))
  })
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent })
  const error = await failure(send({ port: peer.port, path: '/half', agent }))
  assert.strictEqual(error.code, 'ECONNRESET')
  assert.strictEqual(peer.requests.length, 2)
})

for (const method of ['POST', 'PATCH']) {
  test(
    `a ${method} that is dropped unanswered on a reused connection fails, and was sent once`,
    DENO_RETRIES,
    async (scope) => {
      const peer = await scope.peer(dropping({ dropped: 5 }))
      const agent = scope.agent(KEEP_ALIVE)
      await send({ port: peer.port, agent })
      const request = begin({ port: peer.port, path: '/dropped', method, agent })
      const answer = read(request)
      request.end('body')
      const error = await failure(answer)
      assert.deepStrictEqual([error.code, error.message], ['ECONNRESET', 'socket hang up'])
      assert.strictEqual(request.reusedSocket, true)
      await turns(10)
      assert.strictEqual(peer.requests.filter(({ target }) => target === '/dropped').length, 1)
    },
  )
}

test('Keep-Alive: timeout=2: the connection is gone before the hint runs out', {
  ours: 'keeps it beyond the hint',
}, async (scope) => {
  for (const hint of ['timeout=2', 'max=100, timeout=2', 'TIMEOUT = 2 ,max=5']) {
    const peer = await scope.peer((_, connection) => connection.write(reply('ok', [`Keep-Alive: ${hint}`])))
    const agent = scope.agent(KEEP_ALIVE)
    // A loaded machine may be late; one that waits for the hint itself never is in time.
    await repeatedly(async () => {
      const since = Date.now()
      await send({ port: peer.port, agent })
      const second = await send({ port: peer.port, agent })
      assert.strictEqual(second.reused, true, hint)
      await peer.nobodyConnected(30_000)
      assert.ok(Date.now() - since < 1_900, `${hint}: closed after ${Date.now() - since} ms`)
    })
    await until(() => agent.totalSocketCount === 0)
    assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
  }
})

test('Keep-Alive: timeout=1 leaves nothing of the buffer: the connection is not kept', {
  ours: 'keeps it on some versions',
}, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('ok', ['Keep-Alive: timeout=1'])))
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent })
  await peer.nobodyConnected(30_000)
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
})

for (const [how, abort] of [
  ['destroy()', (request) => request.destroy()],
  ['abort()', (request) => request.abort()],
  ['an AbortSignal', (_, controller) => controller.abort()],
]) {
  test(`a queued request that is aborted by ${how} settles at once`, {
    ours: 'waits for a free slot',
  }, async (scope) => {
    const peer = await scope.peer()
    const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
    const busy = get({ port: peer.port, agent })
    busy.on('error', () => {})
    await until(() => peer.requests.length === 1)
    const controller = new AbortController()
    const queued = get({ port: peer.port, agent, signal: controller.signal })
    const closed = new Promise((resolve) => queued.on('close', resolve))
    const errors = []
    queued.on('error', (error) => errors.push(error))
    await turns(3)
    abort(queued, controller)
    await closed
    // As from the runtime: abort() before there is a socket is followed by 'abort' and 'close', and no 'error'.
    const expected = { 'destroy()': ['ECONNRESET'], 'abort()': [], 'an AbortSignal': ['ABORT_ERR'] }
    assert.deepStrictEqual(
      errors.map((error) => error.code),
      expected[how],
    )
    assert.deepStrictEqual(Object.keys(agent.requests), [])
    assert.strictEqual(peer.requests.length, 1)
    busy.destroy()
    await until(() => peer.open.size === 0)
    assert.strictEqual(peer.accepted, 1)
  })
}

test('a queue survives the abort of any of its members', { ours: 'settles them late' }, async (scope) => {
  const order = []
  const held = []
  const peer = await scope.peer((request, connection) => {
    order.push(request.target)
    if (request.target === '/first') held.push(connection)
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const first = send({ port: peer.port, path: '/first', agent })
  const requests = Array.from({ length: 9 }, (_, i) => get({ port: peer.port, path: `/${i}`, agent }))
  const answers = requests.map((request) =>
    read(request).then(
      ({ body }) => body,
      (error) => error.code,
    ),
  )
  await until(() => held.length === 1)
  for (const i of [0, 4, 8]) requests[i].destroy()
  for (const i of [0, 4, 8]) assert.strictEqual(await answers[i], 'ECONNRESET')
  held[0].write(reply('ok'))
  await first
  await Promise.all(answers)
  assert.deepStrictEqual(order, ['/first', '/1', '/2', '/3', '/5', '/6', '/7'])
  assert.strictEqual(peer.accepted, 1)
})

for (const [how, make] of [
  ['the timeout option', (options) => get({ ...options, timeout: 200 })],
  [
    'setTimeout',
    (options) => {
      const request = get(options)
      request.setTimeout(200)
      return request
    },
  ],
]) {
  test(`${how} of a request fires while it is queued`, { ours: 'never fires' }, async (scope) => {
    const peer = await scope.peer()
    const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
    const busy = get({ port: peer.port, agent })
    busy.on('error', () => {})
    await until(() => peer.requests.length === 1)
    const queued = make({ port: peer.port, agent })
    const failed = failure(read(queued))
    await once(queued, 'timeout')
    queued.destroy()
    assert.strictEqual((await failed).code, 'ECONNRESET')
    busy.destroy()
  })
}

test('agent.destroy() with a queue: the queued requests fail, nothing stays open', {
  ours: 'opens a connection for them',
}, async (scope) => {
  const peer = await scope.peer()
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const failed = Array.from({ length: 8 }, () => failure(send({ port: peer.port, agent })))
  await until(() => peer.requests.length === 2)
  agent.destroy()
  for (const error of await Promise.all(failed)) assert.strictEqual(error.code, 'ECONNRESET')
  await peer.nobodyConnected(30_000)
  await turns(10)
  assert.strictEqual(peer.accepted, 2)
  assert.deepStrictEqual(
    [Object.keys(agent.requests), Object.keys(agent.sockets), Object.keys(agent.freeSockets)],
    [[], [], []],
  )
})

test('maxTotalSockets 1 and an idle connection to another origin: it makes room', { ours: 'hangs' }, async (scope) => {
  const [a, b] = [await scope.peer(OK), await scope.peer(OK)]
  const agent = scope.agent({ keepAlive: true, maxTotalSockets: 1 })
  for (let i = 0; i < 3; i++) {
    assert.strictEqual((await send({ port: a.port, agent })).body, 'ok')
    await turns(2)
    assert.strictEqual((await send({ port: b.port, agent })).body, 'ok')
    await turns(2)
  }
  assert.ok(agent.totalSocketCount <= 1)
  assert.deepStrictEqual([a.peak, b.peak], [1, 1])
})

test('origins under a total limit take turns', { ours: 'starves the others' }, async (scope) => {
  const order = []
  const peers = []
  for (const name of ['a', 'b', 'c']) {
    peers.push(
      await scope.peer((_, connection) => {
        order.push(name)
        connection.write(reply('ok'))
      }),
    )
  }
  const agent = scope.agent({ keepAlive: true, maxTotalSockets: 1 })
  await Promise.all(Array.from({ length: 12 }, (_, i) => send({ port: peers[Math.floor(i / 4)].port, agent })))
  assert.strictEqual(order.length, 12)
  const firstOfC = order.indexOf('c')
  const lastOfA = order.lastIndexOf('a')
  assert.ok(firstOfC < lastOfA || order.indexOf('b') < lastOfA, `served in order ${order.join('')}`)
})

test('lifo: the newest idle connection was destroyed by the user: the next one is used', {
  ours: 'hands it out',
}, async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) =>
    request.target === '/held' ? held.push(connection) : OK(request, connection),
  )
  const agent = scope.agent({ keepAlive: true, scheduling: 'lifo' })
  const pair = [send({ port: peer.port, path: '/held', agent }), send({ port: peer.port, path: '/held', agent })]
  await until(() => held.length === 2)
  held[0].write(reply('ok'))
  await Promise.race(pair)
  await turns(2)
  held[1].write(reply('ok'))
  const answers = await Promise.all(pair)
  await turns(2)
  const newest = answers.find(({ socket }) => socket.localPort === held[1].raw.remotePort)
  newest.socket.destroy()
  const next = await send({ port: peer.port, agent })
  assert.strictEqual(next.body, 'ok')
  assert.strictEqual(next.reused, true)
  assert.strictEqual(peer.accepted, 2)
})

test('unsolicited bytes on an idle connection: it is dropped, and never read as the next response', {
  ours: 'poisons the next one on some',
}, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('mine')))
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent })
  await turns(2)
  peer.connections[0].write(reply('poison', [], 'HTTP/1.1 200 Poison'))
  await peer.connections[0].closed.promise
  await until(() => agent.totalSocketCount === 0)
  const next = await send({ port: peer.port, agent })
  assert.deepStrictEqual([next.body, next.reused], ['mine', false])
})

test('unsolicited bytes while the JavaScript thread is blocked: the next request is on a fresh connection', {
  ours: 'reads them',
}, async (scope) => {
  const remote = await scope.remote()
  const agent = scope.agent(KEEP_ALIVE)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  try {
    for (let i = 0; i < 5; i++) {
      const told = path.join(folder, String(i))
      await send({ port: remote.port, path: `/poison?${told}`, agent })
      for (let waited = 0; !fs.existsSync(told); waited++) {
        assert.ok(waited < 30_000, 'the server says nothing')
        block(1)
      }
      assert.strictEqual((await send({ port: remote.port, path: '/length', agent })).body, 'hello world')
      assert.strictEqual((await remote.counts()).accepted, i + 2)
    }
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
})

test('bytes right behind the end of a response are never read as the next response', async (scope) => {
  const peer = await scope.peer((request, connection) =>
    connection.write(request.target === '/twice' ? reply('first') + reply('poison') : reply('mine')),
  )
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 10; i++) {
    const request = get({ port: peer.port, path: '/twice', agent })
    await read(request).catch(() => {})
    await turns(3)
    assert.strictEqual((await send({ port: peer.port, agent })).body, 'mine')
  }
})

test('an early response is not followed by the rest of its request on the next one', async (scope) => {
  const peer = await scope.peer({
    onHead: (request, connection) => request.target === '/early' && connection.write(reply('early')),
    onRequest: (request, connection) => request.target !== '/early' && connection.write(reply(`${request.body}`)),
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  for (let i = 0; i < 10; i++) {
    const request = begin({ port: peer.port, path: '/early', method: 'POST', agent })
    request.on('error', () => {})
    const answer = read(request)
    request.write('part')
    assert.strictEqual((await answer).body, 'early')
    const next = send({ port: peer.port, path: '/next', method: 'POST', agent }, `next ${i}`)
    request.end('rest')
    assert.strictEqual((await next).body, `next ${i}`)
  }
})

test('a server that closes at random moments: idempotent requests all succeed, none is answered twice', {
  ours: 'fails now and then',
}, async (scope) => {
  const peer = await scope.peer((request, connection) => {
    connection.write(reply(request.target))
    // Every third reply is followed by an unannounced FIN, one turn later.
    if (connection.requests.length % 3 === 0) setImmediate(() => connection.end())
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 6 })
  await inLanes(12, 300, async (i) => {
    const path = `/${i}`
    assert.strictEqual((await send({ port: peer.port, path, agent })).body, path)
  })
})

test('a response that is never read holds its connection and nothing else', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('x'.repeat(1_000))))
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const stuck = get({ port: peer.port, agent })
  stuck.on('error', () => {})
  const [response] = await once(stuck, 'response')
  response.on('error', () => {})
  for (let i = 0; i < 5; i++) assert.strictEqual((await send({ port: peer.port, agent })).status, 200)
  assert.strictEqual(peer.accepted, 2)
  assert.strictEqual(agent.totalSocketCount, 2)
  response.resume()
  await once(response, 'end')
  await turns(2)
  assert.deepStrictEqual(Object.keys(agent.sockets), [])
})

test('aborting requests at every stage leaks no connection and no slot', async (scope) => {
  const peer = await scope.peer(async (_request, connection) => {
    await turns(2)
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha')
    await turns(2)
    connection.write('lf')
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  for (let stage = 0; stage < 14; stage++) {
    const requests = Array.from({ length: 6 }, () => {
      const request = get({ port: peer.port, agent }, (response) => {
        response.on('error', () => {})
        response.resume()
      })
      request.on('error', () => {})
      return request
    })
    await turns(stage)
    for (const request of requests) request.destroy()
    await Promise.all(
      requests.map((request) => request.closed || new Promise((resolve) => request.on('close', resolve))),
    )
  }
  await until(() => Object.keys(agent.sockets).length === 0 && Object.keys(agent.requests).length === 0)
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'half')
  assert.ok(peer.open.size <= 3 || (await until(() => peer.open.size <= 3)))
  await delay(0)
})

test('an old connection that closes takes nothing from an exchange that has its number again', async (scope) => {
  const numbers = 4096
  const old = await scope.peer((_, connection) => connection.write(reply('ok')))
  const peer = await scope.peer((request, connection) => connection.write(reply(String(request.received))))
  const agent = scope.agent({ keepAlive: true })
  await send({ port: old.port, agent })
  for (let i = 1; i < numbers; i++) await send({ port: peer.port, agent })
  const request = begin({ port: peer.port, agent, method: 'POST' })
  const answer = read(request)
  request.write('first ')
  await until(() => peer.requests.at(-1)?.method === 'POST')
  old.connections[0].end()
  await old.connections[0].closed.promise
  await until(() => Object.keys(agent.freeSockets).length === 0)
  request.end('second')
  assert.strictEqual((await answer).body, '12')
})
