'use strict'

// Our own request(): fast as long as nobody asks for more, one of the runtime's as soon as somebody does.

const assert = require('node:assert')
const { AsyncLocalStorage } = require('node:async_hooks')
const http = require('node:http')
const { inspect } = require('node:util')
const v8 = require('node:v8')

const keepwire = require('../..')
const { failure, read } = require('../support/client')
const { isFast } = require('../support/fast-recorder')
const { chunkedReply, reply } = require('../support/peer')
const { isNode } = require('../support/runtime')
const { test } = require('../support/suite')
const { once, turns, until, withMoreTime } = require('../support/wait')

const OK = (_, connection) => connection.write(reply('hello'))
const KEEP_ALIVE = { keepAlive: true }

/** An agent of ours with an idle connection to the peer. */
async function warm(scope, peer, options = KEEP_ALIVE) {
  const agent = scope.agent(options)
  await read(keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }))
  await turns(3)
  return agent
}

test('a request that is ended, and read by data and end, stays fast', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  for (const [options, body] of [
    [{}, undefined],
    [{ headers: { Accept: '*/*', 'X-Number': 5 } }, undefined],
    [{ method: 'POST' }, 'text'],
    [{ method: 'PUT', headers: { 'Content-Length': 3 } }, Buffer.from('abc')],
  ]) {
    const request = keepwire.http.request({ host: '127.0.0.1', port: peer.port, agent, ...options })
    request.end(body)
    const { body: text, response, reused } = await read(request)
    assert.deepStrictEqual([text, reused], ['hello', true])
    assert.ok(isFast(request) && isFast(response))
    assert.ok(request instanceof http.ClientRequest && response instanceof http.IncomingMessage)
  }
  assert.strictEqual(peer.accepted, 1)
})

test('URLs as strings and objects, with and without options', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const address = `http://127.0.0.1:${peer.port}/a?b=c`
  peer.requests.length = 0
  for (const send of [
    (done) => keepwire.http.get(address, { agent }, done),
    (done) => keepwire.http.get(new URL(address), { agent }, done),
    (done) => keepwire.http.get(address, { agent, headers: { 'x-a': 'b' } }).on('response', done),
    (done) => keepwire.http.get(address, { agent, path: '/other' }, done),
  ]) {
    const response = await new Promise((resolve) => send(resolve))
    assert.ok(isFast(response.req))
    response.resume()
    await once(response, 'close')
  }
  assert.deepStrictEqual(
    peer.requests.map(({ target }) => target),
    ['/a?b=c', '/a?b=c', '/a?b=c', '/other'],
  )
  assert.strictEqual(peer.accepted, 1)
})

test('what options inherit says nothing, as to the runtime', async (scope) => {
  const peer = await scope.peer(OK)
  const ours = await warm(scope, peer)
  for (const [{ get }, agent] of [
    [http, scope.runtimeAgent(KEEP_ALIVE)],
    [keepwire.http, ours],
  ]) {
    const inherited = Object.create({ path: '/inherited', method: 'DELETE', headers: { 'x-a': 'b' } })
    await read(get(Object.assign(inherited, { host: '127.0.0.1', port: peer.port, agent })))
    assert.match(peer.requests.at(-1).head, /^GET \/ HTTP\/1\.1\r\nHost: 127/)
  }
})

test('what somebody has put on Object.prototype is no option of a request to a URL', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const address = `http://127.0.0.1:${peer.port}/a`
  peer.requests.length = 0
  const polluting = { headers: { 'x-polluted': '1' }, method: 'PUT', auth: 'a:b', timeout: 1 }
  for (const given of [
    [address, { agent }],
    [new URL(address), { agent }],
  ]) {
    let request
    Object.assign(Object.prototype, polluting)
    try {
      request = keepwire.http.get(...given)
    } finally {
      for (const name of Object.keys(polluting)) delete Object.prototype[name]
    }
    await read(request)
  }
  for (const { head } of peer.requests)
    assert.match(head, /^GET \/a HTTP\/1\.1\r\n(?!.*(?:x-polluted|authorization))/is)
  assert.strictEqual(peer.requests.length, 2)
})

test('options and headers may change after the call', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const headers = { 'X-A': 'first' }
  const options = { host: '127.0.0.1', port: peer.port, agent, headers }
  for (const touch of [() => {}, (request) => request.getHeader('x-a')]) {
    headers['X-A'] = 'first'
    const request = keepwire.http.get(options)
    headers['X-A'] = 'second'
    touch(request)
    await read(request)
    assert.strictEqual(peer.requests.at(-1).headers['x-a'], 'first')
    assert.strictEqual(request.getHeader('X-a'), 'first')
  }
})

test('a request that differs from a former one in anything is not taken for it', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('')))
  const ours = await warm(scope, peer)
  const runtimes = scope.runtimeAgent(KEEP_ALIVE)
  const inherited = Object.create({ 'X-A': '1' })
  const variations = [
    {},
    { headers: {} },
    { headers: null },
    { headers: [] },
    { headers: ['X-A', '1'] },
    { headers: { 'X-A': '1' } },
    { headers: { 'X-A': '2' } },
    { headers: { 'x-a': '2' } },
    { headers: { 'X-A': '1', 'X-B': '2' } },
    { headers: { 'X-B': '2', 'X-A': '1' } },
    { headers: inherited },
    { headers: { Host: 'example.com' } },
    { method: 'HEAD' },
    { method: 'POST' },
    { method: 'POST', headers: { 'Content-Length': 0 } },
    { method: 'get' },
    { method: null, path: null },
    { host: undefined, hostname: '127.0.0.1' },
    { port: String(peer.port) },
    { setHost: false },
  ]
  // Twice, to have each come after each other and after itself.
  for (const options of [...variations, ...variations.flatMap((options) => [options, options])]) {
    const heads = []
    for (const [{ request }, agent] of [
      [http, runtimes],
      [keepwire.http, ours],
    ]) {
      await read(request({ host: '127.0.0.1', port: peer.port, ...options, agent }).end())
      heads.push(peer.requests.at(-1).head)
    }
    assert.strictEqual(heads[1], heads[0])
  }
})

test('console.log shows what the runtime shows', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const { request, response } = await read(keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }))
  assert.match(inspect(request), /_header/)
  assert.match(inspect(response), /_readableState/)
})

test("what became the runtime's has one shape, and quick properties", { skip: !isNode && 'asks V8' }, async (scope) => {
  v8.setFlagsFromString('--allow-natives-syntax')
  const isQuick = new Function('object', 'return %HasFastProperties(object)')
  const areAlike = new Function('one', 'other', 'return %HaveSameMap(one, other)')
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const touches = {
    'before it is sent': [(request) => request.setHeader('x-a', 'b'), () => {}],
    'when it is answered': [() => {}, (response) => response.setEncoding('utf8')],
  }
  for (const [when, [before, after]] of Object.entries(touches)) {
    const made = []
    for (let count = 0; count < 12; count += 1) {
      const request = keepwire.http.request({ host: '127.0.0.1', port: peer.port, agent }, after)
      before(request)
      request.end()
      const { body, response } = await read(request)
      assert.strictEqual(body, 'hello')
      made.push([request, response])
    }
    // The first ones show engines what becomes of such objects.
    const [[request, response], ...others] = made.slice(-4)
    assert.ok(!isFast(request) && !isFast(response), when)
    for (const [other, answer] of others) {
      assert.deepStrictEqual([isQuick(other), isQuick(answer)], [true, true], when)
      assert.deepStrictEqual([areAlike(request, other), areAlike(response, answer)], [true, true], when)
    }
  }
})

test("methods that somebody has wrapped work on when the request becomes the runtime's", async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const told = []
  const wrap = (object, name) => {
    const inner = object[name]
    object[name] = function (...args) {
      told.push(name === 'emit' ? args[0] : name)
      return inner.apply(this, args)
    }
  }
  const request = keepwire.http.request({ host: '127.0.0.1', port: peer.port, agent })
  wrap(request, 'end')
  request.setHeader('x-a', 'b')
  request.end()
  assert.strictEqual((await read(request)).body, 'hello')
  assert.strictEqual(peer.requests.at(-1).headers['x-a'], 'b')

  const answered = keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent })
  wrap(answered, 'emit')
  const [response] = await once(answered, 'response')
  for (const name of ['on', 'resume']) wrap(response, name)
  response.setEncoding('utf8')
  let text = ''
  response.on('data', (piece) => {
    text += piece
  })
  response.resume()
  await once(answered, 'close')
  assert.strictEqual(text, 'hello')
  assert.ok(told.includes('end') && told.includes('on') && told.includes('resume') && told.includes('close'), `${told}`)
})

/** What was put off to later ticks is done, and nothing has come from the network yet. */
async function ticks(count) {
  for (let tick = 0; tick < count; tick += 1) await new Promise((resolve) => process.nextTick(resolve))
}

test('a large body is sent fast, and who listens meanwhile hears when the kernel has it', async (scope) => {
  const body = Buffer.alloc(1024 * 1024, 'k')
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const send = () => keepwire.http.request({ host: '127.0.0.1', port: peer.port, method: 'PUT', agent })
  const fast = send()
  fast.end(body)
  assert.strictEqual((await read(fast)).body, 'hello')
  assert.ok(isFast(fast))

  const told = []
  const request = send()
  request.end(body)
  await ticks(3)
  // Nearly never: on a loaded machine the kernel may have all of it by then.
  const isOut = request.writableFinished
  for (const event of ['finish', 'response']) request.on(event, () => told.push(`${event} ${request.writableFinished}`))
  assert.strictEqual((await read(request)).body, 'hello')
  assert.deepStrictEqual(told, isOut ? ['response true'] : ['finish true', 'response true'])

  const looked = send()
  looked.end(body)
  await ticks(3)
  assert.strictEqual(looked.getHeader('host'), `127.0.0.1:${peer.port}`)
  const wasOut = looked.writableFinished
  const events = []
  looked.socket.once('drain', () => events.push('drain'))
  for (const event of ['finish', 'response']) looked.on(event, () => events.push(event))
  assert.strictEqual((await read(looked)).body, 'hello')
  assert.deepStrictEqual(events.sort(), wasOut ? ['response'] : ['drain', 'finish', 'response'])

  const watched = send()
  const { socket } = looked
  const drained = once(socket, 'drain')
  watched.end(body)
  assert.strictEqual((await read(watched)).body, 'hello')
  await drained
  assert.deepStrictEqual(
    peer.requests.slice(-4).map((request) => request.body.length),
    [body.length, body.length, body.length, body.length],
  )
  assert.strictEqual(peer.accepted, 1)
})

test("what options cannot be is the runtime's to say", async (scope) => {
  const agent = scope.agent(KEEP_ALIVE)
  for (const options of [
    { hostname: NaN },
    { host: false },
    { hostname: 0, host: 'localhost' },
    { method: NaN },
    { method: false },
    { path: '/a b' },
    { method: 'GE T' },
    { method: 5 },
    { headers: { 'a b': 'c' } },
    { headers: { a: 'b\r\nc: d' } },
    { headers: { a: undefined } },
    { protocol: 'https:' },
    { hostname: 5 },
    { agent: {} },
    { timeout: 'soon' },
  ]) {
    const told = []
    for (const { request } of [http, keepwire.http]) {
      try {
        request({ host: '127.0.0.1', agent, ...options })
          .on('error', () => {})
          .destroy()
        told.push('nothing')
      } catch (error) {
        told.push(`${error.name} ${error.code} ${error.message}`)
      }
    }
    assert.strictEqual(told[1], told[0])
  }
})

test("with the runtime's agent, or a foreign one, it is the runtime's request", async (scope) => {
  const peer = await scope.peer(OK)
  for (const agent of [scope.runtimeAgent(KEEP_ALIVE), false]) {
    const { body, request } = await read(keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }))
    assert.strictEqual(body, 'hello')
    assert.ok(!isFast(request))
  }
})

test('listeners see the AsyncLocalStorage store of the request', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(chunkedReply(['a', 'b'])))
  const agent = await warm(scope, peer)
  const storage = new AsyncLocalStorage()
  const seen = []
  const over = ['one', 'two'].map((store) =>
    storage.run(store, () => {
      const request = keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }, (response) => {
        seen.push(['response', store, storage.getStore()])
        response.on('data', () => seen.push(['data', store, storage.getStore()]))
        response.on('end', () => seen.push(['end', store, storage.getStore()]))
      })
      request.on('close', () => seen.push(['close', store, storage.getStore()]))
      return once(request, 'close')
    }),
  )
  await Promise.all(over)
  assert.ok(seen.length >= 8)
  for (const [event, expected, actual] of seen) assert.strictEqual(actual, expected, event)
})

test("an agent's timeout is told to a fast request", async (scope) => {
  const peer = await scope.peer((request, connection) => request.target === '/' && OK(request, connection))
  const agent = await warm(scope, peer, { keepAlive: true, timeout: 100 })
  const request = keepwire.http.get({ host: '127.0.0.1', port: peer.port, path: '/silent', agent })
  const failed = failure(read(request))
  await once(request, 'timeout')
  request.destroy()
  assert.strictEqual((await failed).code, 'ECONNRESET')
})

test("an agent's deadlines, and what it re-sends, count for fast requests", async (scope) => {
  const silent = {
    '/': OK,
    '/half': (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
  }
  const dropped = []
  const peer = await scope.peer((request, connection) => {
    if (request.target !== '/drop') return silent[request.target]?.(request, connection)
    dropped.push(connection.id)
    connection.end()
  })
  /** What a request comes to that is fast, as the one before it over the same connection. */
  const outcome = async (options, path) => {
    const agent = await warm(scope, peer, { ...KEEP_ALIVE, ...options })
    const request = keepwire.http.get({ host: '127.0.0.1', port: peer.port, path: '/', agent })
    await read(request)
    assert.ok(isFast(request))
    await turns(3)
    return (await failure(read(keepwire.http.get({ host: '127.0.0.1', port: peer.port, path, agent })))).code
  }
  // The requests before it have the same deadline.
  await withMoreTime(async (headersTimeout) => {
    assert.strictEqual(await outcome({ headersTimeout }, '/silent'), 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
  })
  assert.strictEqual(await outcome({ bodyTimeout: 100 }, '/half'), 'ERR_KEEPWIRE_BODY_TIMEOUT')
  for (const retry of [false, 'safe']) assert.strictEqual(await outcome({ retry }, '/drop'), 'ECONNRESET')
  // Once with retry: false, twice with 'safe'.
  assert.strictEqual(dropped.length, 3)
})

test('whoever looks at the agent sees the requests that were just made', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer, { keepAlive: true, maxSockets: 1 })
  const name = agent.getName({ host: '127.0.0.1', port: peer.port })
  const requests = [1, 2].map(() => keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }))
  const answers = Promise.all(requests.map(read))
  assert.deepStrictEqual(
    [agent.sockets[name]?.length, agent.requests[name]?.length, agent.freeSockets[name]],
    [1, 1, undefined],
  )
  assert.strictEqual(agent.requests[name][0], requests[1])
  await answers
  assert.strictEqual(peer.accepted, 1)
})

test('agent.destroy() fails fast requests that are pending or under way', async (scope) => {
  const peer = await scope.peer((request, connection) => request.target === '/' && OK(request, connection))
  const agent = await warm(scope, peer)
  const options = { host: '127.0.0.1', port: peer.port, path: '/silent', agent }
  const underWay = failure(read(keepwire.http.get(options)))
  await until(() => peer.requests.length === 2)
  const pending = failure(read(keepwire.http.get(options)))
  agent.destroy()
  assert.deepStrictEqual([(await underWay).code, (await pending).code], ['ECONNRESET', 'ECONNRESET'])
})

test('thousands of requests, one after another and at once, on as many connections as there are clients', async (scope) => {
  const peer = await scope.peer({ onRequest: OK, forget: true })
  const agent = await warm(scope, peer, { keepAlive: true, maxSockets: 10 })
  const options = { host: '127.0.0.1', port: peer.port, agent }
  const send = () =>
    new Promise((resolve, reject) => {
      const request = keepwire.http.get(options, (response) => {
        let length = 0
        response.on('data', (chunk) => (length += chunk.length))
        response.on('end', () => resolve(length))
        response.on('error', reject)
      })
      request.on('error', reject)
    })
  for (let i = 0; i < 2000; i++) assert.strictEqual(await send(), 5)
  assert.strictEqual(peer.accepted, 1)
  const client = async () => {
    for (let i = 0; i < 300; i++) assert.strictEqual(await send(), 5)
  }
  await Promise.all(Array.from({ length: 10 }, client))
  assert.ok(peer.accepted <= 10, `${peer.accepted} connections`)
  assert.strictEqual(agent.totalSocketCount, peer.open.size)
})

test('a server that closes after each answer without announcing it costs no request', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.end(reply('hello')))
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 100; i++) {
    const { body } = await read(keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent }))
    assert.strictEqual(body, 'hello')
  }
})

test('explain() tells of fast requests what it tells of others', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = await warm(scope, peer)
  const told = []
  for (const { request } of [http, keepwire.http]) {
    const { request: sent } = await read(request({ host: '127.0.0.1', port: peer.port, agent }).end())
    const before = keepwire.explain(sent)
    assert.strictEqual(isFast(sent), request === keepwire.http.request)
    sent.getHeader('host')
    assert.deepStrictEqual(keepwire.explain(sent), before)
    told.push({ ...before, idleMs: 0, useCount: 0 })
  }
  assert.deepStrictEqual(told[1], told[0])
  assert.strictEqual(told[0].reused, true)
})

test('what is kept of requests has a size, and holds no credential', async (scope) => {
  const { originsOf } = require('../../lib/agent/origins')
  const peer = await scope.peer((_, connection) => connection.write(reply('ok')))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const ask = (path, headers) =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: peer.port, path, headers, agent }
      const request = keepwire.http.get(options, (response) => response.resume().on('end', resolve))
      request.on('error', reject)
    })
  await ask('/short', { accept: '*/*' })
  await ask('/secret', { Authorization: 'Bearer abc' })
  await ask('/cookie', { cookie: 'session=abc' })
  await ask(`/${'long'.repeat(2_000)}`)
  await ask('/large', { 'x-large': 'x'.repeat(5_000) })
  assert.deepStrictEqual([...originsOf(agent).templates.keys()], ['/short'])
})
