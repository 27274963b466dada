'use strict'

// Who puts a function of his own in the place of dns.lookup (a tracer, a mock, a cache, a filter of addresses) is asked for each
// connection, as by the runtime's sockets, and the engine connects to what it answers.

const assert = require('node:assert')
const { AsyncLocalStorage } = require('node:async_hooks')
const dns = require('node:dns')

const { runScript } = require('./support/child')
const { failure, parallel, read, request, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline, isDeno } = require('./support/runtime')
const { testBoth, test: testOnce } = require('./support/suite')
const { until } = require('./support/wait')

const { explain, fetch, http: ownHttp, https: ownHttps } = baseline ? {} : require('..')

const KEEP_ALIVE = { keepAlive: true, warnings: false }
const OK = (_, connection) => connection.write(reply('ok'))
const NOT_ASKED = isDeno && "Deno's sockets do not look at dns.lookup"
const OURS = { ours: 'is asked about', skip: NOT_ASKED }
const test = (sentence, ...rest) =>
  rest.length === 1 ? testBoth(sentence, { skip: NOT_ASKED }, rest[0]) : testBoth(sentence, ...rest)

/**
 * Puts `answer` in the place of dns.lookup until the scope ends.
 * @returns {unknown[][]} what it was given
 */
function replaceLookup(scope, answer) {
  const { lookup } = dns
  const given = []
  dns.lookup = (host, options, callback) => {
    given.push([host, options])
    answer(host, options, callback)
  }
  scope.defer(() => {
    dns.lookup = lookup
  })
  return given
}

/** Gives addresses as whoever asks wants them. */
function give(options, callback, ...addresses) {
  const all = addresses.map((address) => (typeof address === 'string' ? { address, family: 4 } : address))
  if (options.all) callback(null, all)
  else callback(null, all[0].address, all[0].family)
}

const later =
  (answer) =>
  (...given) =>
    setImmediate(answer, ...given)
const loopback = later((_host, options, callback) => give(options, callback, '127.0.0.1'))

/** What is heard of a request and its socket, up to its end. */
function heardOf(options) {
  return new Promise((resolve) => {
    const heard = []
    const req = request(options, (res) => {
      heard.push(['response', res.statusCode])
      res.resume()
    })
    req.on('socket', (socket) => {
      socket.on('lookup', (error, ...rest) => heard.push(['lookup', error?.code ?? null, ...rest]))
      socket.on('connect', () => heard.push(['connect', socket.remoteAddress]))
    })
    req.on('error', ({ name, code, message, host, port }) => {
      heard.push(['error', name, code, message.replace(options.port, 'PORT'), host, port === options.port])
    })
    req.on('close', () => resolve(heard))
    req.end()
  })
}

const WANTED = {
  'nothing else': {},
  'a family': { family: 4 },
  'no choice of families': { autoSelectFamily: false },
  'a local address': { localAddress: '127.0.0.1' },
}

for (const [what, options] of Object.entries(WANTED)) {
  test(`a replaced dns.lookup is given what the runtime's sockets give it: ${what}`, async (scope) => {
    const peer = await scope.peer(OK)
    const given = replaceLookup(scope, loopback)
    for (const agent of [scope.agent(KEEP_ALIVE), scope.runtimeAgent(KEEP_ALIVE)]) {
      const { body } = await send({ host: 'localhost', port: peer.port, agent, ...options })
      assert.strictEqual(body, 'ok')
    }
    assert.strictEqual(given.length, 2)
    assert.deepStrictEqual(given[0], given[1])
    // What an agent says counts like what its request says.
    await send({ host: 'localhost', port: peer.port, agent: scope.agent({ ...KEEP_ALIVE, ...options }) })
    assert.deepStrictEqual(given[2], given[1])
  })
}

test('it is asked once for each connection, not for each request, and the engine carries them', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => setImmediate(OK, _, connection))
  const given = replaceLookup(scope, loopback)
  const agent = scope.agent(KEEP_ALIVE)
  const options = { host: 'localhost', port: peer.port, agent }
  const first = await send(options)
  const { carriedBy, dnsMs } = explain(first.request)
  assert.strictEqual(carriedBy, 'keepwire')
  assert.ok(dnsMs > 0)
  for (let i = 0; i < 3; i++) await send(options)
  assert.deepStrictEqual([given.length, peer.accepted], [1, 1])
  await parallel(4, () => options)
  assert.deepStrictEqual([given.length, peer.accepted], [4, 4])
})

test('an address is not looked up', async (scope) => {
  const peer = await scope.peer(OK)
  const given = replaceLookup(scope, loopback)
  await send({ port: peer.port, agent: scope.agent(KEEP_ALIVE) })
  assert.deepStrictEqual(given, [])
})

const refused = Object.assign(new Error('that host is not for you'), { code: 'ENOTFORYOU' })
const ANSWERS = {
  'an address': loopback,
  'an address that nobody listens at': later((_host, options, callback) => give(options, callback, '127.0.0.9')),
  'several, of which the second answers': later((_host, options, callback) =>
    give(options, callback, ...(options.all ? ['127.0.0.9'] : []), '127.0.0.1', { address: '::1', family: 6 }),
  ),
  'an error': later((_host, _options, callback) => callback(refused)),
  'what is no address': later((_host, options, callback) => give(options, callback, 'nonsense')),
  'a family that is none': later((_host, options, callback) =>
    give(options, callback, { address: '127.0.0.1', family: 9 }),
  ),
}

for (const [what, answer] of Object.entries(ANSWERS)) {
  test(`what it answers is told and tried as by the runtime's sockets: ${what}`, async (scope) => {
    const peer = await scope.peer(OK)
    replaceLookup(scope, answer)
    const outcome = (agent) => heardOf({ host: 'localhost', port: peer.port, agent })
    const ours = await outcome(scope.agent(KEEP_ALIVE))
    assert.deepStrictEqual(ours, await outcome(scope.runtimeAgent(KEEP_ALIVE)))
    assert.ok(ours.length > 1)
  })
}

test('it may answer at once', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  replaceLookup(scope, (_host, options, callback) => give(options, callback, '127.0.0.1'))
  assert.strictEqual((await send({ host: 'localhost', port: peer.port, agent: scope.agent() })).body, 'ok')
})

test('a second answer counts for nothing', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  replaceLookup(scope, (_host, options, callback) => {
    give(options, callback, '127.0.0.1')
    give(options, callback, '127.0.0.9')
    callback(refused)
  })
  const heard = await heardOf({ host: 'localhost', port: peer.port, agent: scope.agent() })
  assert.deepStrictEqual(heard.map(([what]) => what).sort(), ['connect', 'lookup', 'response'])
})

test('what it throws, and an answer that is empty, fail the request', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const options = { host: 'localhost', port: peer.port, agent }
  replaceLookup(scope, () => {
    throw refused
  })
  assert.strictEqual(await failure(send(options)), refused)
  const many = { ...options, autoSelectFamily: true }
  dns.lookup = (_host, _options, callback) => callback(null, [])
  assert.strictEqual((await failure(send(many))).code, 'ERR_INVALID_IP_ADDRESS')
  assert.deepStrictEqual([peer.accepted, agent.totalSocketCount], [0, 0])
})

test('without an answer the deadline for connecting holds, and a request can be destroyed', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const given = replaceLookup(scope, () => {})
  const patient = scope.agent({ ...KEEP_ALIVE, connectTimeout: 50 })
  const late = await failure(send({ host: 'localhost', port: peer.port, agent: patient }))
  assert.strictEqual(late.code, 'ERR_KEEPWIRE_CONNECT_TIMEOUT')
  const before = given.length
  const agent = scope.agent(KEEP_ALIVE)
  const req = request({ host: 'localhost', port: peer.port, agent })
  const failed = failure(read(req))
  req.end()
  await until(() => given.length > before)
  req.destroy(new Error('enough'))
  assert.strictEqual((await failed).message, 'enough')
  await until(() => agent.totalSocketCount === 0)
  assert.strictEqual(peer.accepted, 0)
})

test('an answer that comes after the request was destroyed connects to nobody', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const waiting = []
  replaceLookup(scope, (_host, options, callback) => waiting.push(() => give(options, callback, '127.0.0.1')))
  const agent = scope.agent(KEEP_ALIVE)
  const req = request({ host: 'localhost', port: peer.port, agent })
  const failed = failure(read(req))
  req.end()
  await until(() => waiting.length === 1)
  req.destroy(new Error('enough'))
  await failed
  for (const answer of waiting) answer()
  await until(() => agent.totalSocketCount === 0)
  dns.lookup = loopback
  assert.strictEqual((await send({ host: 'localhost', port: peer.port, agent })).body, 'ok')
  assert.strictEqual(peer.accepted, 1)
})

test('nothing is sent to an address that a listener refuses', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  replaceLookup(scope, loopback)
  const req = request({ host: 'localhost', port: peer.port, agent: scope.agent(KEEP_ALIVE) })
  req.on('socket', (socket) => socket.on('lookup', (_error, address) => req.destroy(new Error(`not ${address}`))))
  const failed = failure(read(req))
  req.end()
  assert.strictEqual((await failed).message, 'not 127.0.0.1')
  assert.strictEqual(peer.accepted, 0)
})

test('it is asked in the context of the request', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const storage = new AsyncLocalStorage()
  const seen = []
  replaceLookup(scope, (...given) => {
    seen.push(storage.getStore())
    loopback(...given)
  })
  const agent = scope.agent(KEEP_ALIVE)
  const url = `${scope.scheme}://localhost:${peer.port}`
  await storage.run('request', () => send({ host: 'localhost', port: peer.port, agent }))
  agent.destroy()
  await storage.run('fetch', async () => (await fetch(url, { agent: scope.agent(KEEP_ALIVE) })).text())
  assert.deepStrictEqual(seen, ['request', 'fetch'])
})

test('also for a connection that takes the place of a dead one', OURS, async (scope) => {
  let asked = 0
  const peer = await scope.peer((message, connection) => {
    if (message.target === '/dies' && asked++ === 0) connection.socket.destroy()
    else OK(message, connection)
  })
  const given = replaceLookup(scope, loopback)
  const agent = scope.agent(KEEP_ALIVE)
  const options = { host: 'localhost', port: peer.port, agent }
  await send(options)
  const again = await send({ ...options, path: '/dies' })
  assert.strictEqual(explain(again.request).retried, true)
  assert.strictEqual(given.length, 2)
  dns.lookup = (_host, _options, callback) => callback(refused)
  asked = 0
  assert.strictEqual((await failure(send({ ...options, path: '/dies' }))).code, 'ENOTFORYOU')
})

test('also for our own request, fetch, and connections opened in advance', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const given = replaceLookup(scope, loopback)
  const options = { host: 'localhost', port: peer.port }
  const { request: ownRequest } = scope.scheme === 'http' ? ownHttp : ownHttps
  const url = `${scope.scheme}://localhost:${peer.port}`
  const agents = [1, 2, 3].map(() => scope.agent(KEEP_ALIVE))
  const req = ownRequest({ ...options, agent: agents[0] })
  const answer = read(req)
  req.end()
  assert.strictEqual((await answer).body, 'ok')
  assert.strictEqual(await (await fetch(url, { agent: agents[1] })).text(), 'ok')
  assert.strictEqual(await agents[2].preconnect(url), 1)
  assert.strictEqual(given.length, 3)
  // A connection is open before its server has accepted it.
  await until(() => peer.accepted === 3)
  dns.lookup = (_host, _options, callback) => callback(refused)
  const failed = await failure(fetch(url.replace('localhost', 'other.test'), { agent: agents[1] }))
  assert.strictEqual(failed.cause, refused)
  await assert.rejects(agents[2].preconnect(url.replace('localhost', 'other.test')), refused)
})

test('and for fetch without an agent', OURS, async (scope) => {
  const given = replaceLookup(scope, (_host, _options, callback) => callback(refused))
  const failed = await failure(fetch(`${scope.scheme}://made-up.test/`))
  assert.strictEqual(failed.cause, refused)
  assert.deepStrictEqual(
    given.map(([host]) => host),
    ['made-up.test'],
  )
})

test('once it is gone, the system is asked again', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const { lookup } = dns
  const given = replaceLookup(scope, loopback)
  const options = { host: 'localhost', family: 4, port: peer.port }
  await send({ ...options, agent: scope.agent() })
  dns.lookup = lookup
  await send({ ...options, agent: scope.agent() })
  assert.deepStrictEqual([given.length, peer.accepted], [1, 2])
})

test('a name that the system does not know is told as by the runtime’s sockets', {
  skip: isDeno && "Deno's sockets may say so before the tick in which 'socket' is told",
}, async (scope) => {
  const outcome = (agent) => heardOf({ host: 'nowhere.invalid', port: 9, agent })
  const ours = await outcome(scope.agent(KEEP_ALIVE))
  assert.deepStrictEqual(ours, await outcome(scope.runtimeAgent(KEEP_ALIVE)))
  assert.deepStrictEqual(ours[0].slice(0, 2), ['lookup', ours[1][2]])
})

for (const how of ['process', 'worker']) {
  testOnce(
    `a ${how} may end while it is asked`,
    { skip: NOT_ASKED || (baseline && 'there is no engine') },
    async () => {
      const { code, lines, late, stderr } = await runScript('lookup-unanswered', [how])
      assert.deepStrictEqual({ code, late, stderr }, { code: 0, late: false, stderr: '' })
      assert.deepStrictEqual(lines, [{ asked: 1 }, { served: 'ok' }].slice(0, how === 'worker' ? 2 : 1))
    },
  )
}

testOnce(
  'where the runtime’s sockets ask the system whatever is there, so do ours',
  {
    skip: !isDeno && 'they do not',
  },
  async (scope) => {
    const peer = await scope.peer(OK)
    const given = replaceLookup(scope, (_host, _options, callback) => callback(refused))
    assert.strictEqual((await send({ host: 'localhost', family: 4, port: peer.port, agent: scope.agent() })).body, 'ok')
    assert.deepStrictEqual(given, [])
  },
)
