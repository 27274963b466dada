'use strict'

// Agents with `shared: true` over TLS: idle connections serve all of them, in all threads of the process, if they ask the
// same of their peer; and what is known of it comes along.

const assert = require('node:assert')
const https = require('node:https')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

const { Certificate, makeAuthority } = require('../support/authority')
const { runScript } = require('../support/child')
const { random } = require('../support/client')
const { isDeno, isNode } = require('../support/runtime')
const { outcome, SecureAgent, secureServer } = require('../support/secure')
const { test } = require('../support/suite')
const { once, until, withMoreTime } = require('../support/wait')

const OURS = { ours: 'shares nothing' }
const SHARED = { keepAlive: true, shared: true }
const TERMINATIONS = Number(process.env.KEEPWIRE_SHARED_TERMINATIONS ?? 12)

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const self = await Certificate.make({ name: 'localhost', dns: ['localhost'] })
  const elsewhere = await root.issue({ name: 'x', dns: ['elsewhere.example'] })
  const client = await root.issue({ name: 'client', use: 'client' })
  return { root, server, self, elsewhere, client }
})()

/** An HTTPS server and agents that share, each made as `options` say. */
async function setUp(scope, identity, options) {
  const served = await secureServer(scope, identity, { requestCert: true, rejectUnauthorized: false })
  const agent = (more) => scope.adopt(new SecureAgent({ ...SHARED, ...options, ...more }))
  return { served, agent, ask: (by) => outcome({ port: served.port, agent: by }) }
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`agents that share use one ${version} connection, and see its peer as who opened it`, OURS, async (scope) => {
    const { root, server, client } = await authorities
    const options = {
      ca: root.pem,
      cert: client.pem,
      key: client.key,
      maxVersion: version,
      ALPNProtocols: ['http/1.1'],
    }
    const { served, agent, ask } = await setUp(scope, server, options)
    const [one, other] = [agent(), agent()]
    const first = await ask(one)
    assert.deepStrictEqual([first.socket.authorized, first.socket.protocol], [true, version])
    for (let i = 0; i < 10; i++) {
      const [by, idle] = i % 2 === 0 ? [other, one] : [one, other]
      assert.deepStrictEqual(await ask(by), first)
      await until(() => idle.totalSocketCount === 0)
      assert.strictEqual(by.totalSocketCount, 1)
    }
    assert.deepStrictEqual([served.connections, served.handshakes], [1, 1])
  })
}

test('an agent for each request takes one handshake altogether', OURS, async (scope) => {
  const { root, server } = await authorities
  const { served, agent, ask } = await setUp(scope, server, { ca: root.pem })
  for (let i = 0; i < 50; i++) assert.strictEqual((await ask(agent())).status, 200)
  assert.deepStrictEqual([served.connections, served.handshakes], [1, 1])
})

test("a lent connection's socket has its events: 'connect', then 'secureConnect'", OURS, async (scope) => {
  const { root, server } = await authorities
  const { served, agent, ask } = await setUp(scope, server, { ca: root.pem })
  await ask(agent())
  const events = []
  const request = https.get({ host: 'localhost', family: 4, port: served.port, agent: agent() })
  request.on('socket', (socket) => {
    for (const name of ['connect', 'secureConnect']) socket.on(name, () => events.push(name, socket.authorized))
  })
  const [response] = await once(request, 'response')
  response.resume()
  await once(response, 'end')
  assert.deepStrictEqual(events, ['connect', false, 'secureConnect', true])
  assert.strictEqual(request.reusedSocket, true)
  assert.strictEqual(served.connections, 1)
})

test('why a peer is not authorized comes along with its connection', OURS, async (scope) => {
  const { self } = await authorities
  const { served, agent, ask } = await setUp(scope, self, { rejectUnauthorized: false })
  for (const by of [agent(), agent(), agent()]) {
    const { socket } = await ask(by)
    assert.deepStrictEqual([socket.authorized, socket.authorizationError], [false, 'DEPTH_ZERO_SELF_SIGNED_CERT'])
  }
  assert.strictEqual(served.connections, 1)
})

test('a connection whose peer has another name stays with the agent that took it', OURS, async (scope) => {
  const { root, elsewhere } = await authorities
  const { served, agent, ask } = await setUp(scope, elsewhere, { ca: root.pem, rejectUnauthorized: false })
  const [one, other] = [agent(), agent()]
  for (const by of [one, other, one, other]) {
    const { socket } = await ask(by)
    assert.deepStrictEqual([socket.authorized, socket.authorizationError], [false, 'ERR_TLS_CERT_ALTNAME_INVALID'])
  }
  assert.strictEqual(served.connections, 2)
})

test('who asks a checkServerIdentity shares with those who ask the same one', OURS, async (scope) => {
  const { root, server } = await authorities
  const { served, agent, ask } = await setUp(scope, server, { ca: root.pem })
  const judges = [() => undefined, () => undefined]
  const opened = []
  for (const checkServerIdentity of [undefined, judges[0], judges[1], judges[0], undefined, judges[1]]) {
    const options = checkServerIdentity && { checkServerIdentity }
    assert.strictEqual((await ask(agent(options))).status, 200)
    opened.push(served.connections)
  }
  assert.deepStrictEqual(opened, [1, 2, 3, 3, 3, 3])
})

test('what is refused by one is not to be had through another', OURS, async (scope) => {
  const { root, self } = await authorities
  const { served, agent, ask } = await setUp(scope, self, {})
  assert.strictEqual((await ask(agent({ rejectUnauthorized: false }))).status, 200)
  assert.strictEqual((await ask(agent())).error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT')
  assert.strictEqual((await ask(agent({ ca: root.pem }))).error.code, 'DEPTH_ZERO_SELF_SIGNED_CERT')
  assert.strictEqual((await ask(agent({ ca: self.pem }))).socket.authorized, true)
  assert.strictEqual(served.connections, 4)
})

test('an agent with a getName() of its own shares with nobody', OURS, async (scope) => {
  const { root, server } = await authorities
  const { served, ask } = await setUp(scope, server, {})
  class Named extends SecureAgent {
    getName() {
      return 'always the same'
    }
  }
  for (let i = 1; i <= 3; i++) {
    assert.strictEqual((await ask(scope.adopt(new Named({ ...SHARED, ca: root.pem })))).status, 200)
    assert.strictEqual(served.connections, i)
  }
})

/** A thread that makes requests one after another. */
function client(options, env) {
  const script = path.join(__dirname, '../support/scripts/shared-client.js')
  const worker = new Worker(script, {
    workerData: { host: 'localhost', secure: true, ...options },
    ...(env && { env }),
  })
  const ready = once(worker, 'message')
  const call = async (requests) => {
    const answer = once(worker, 'message')
    worker.postMessage({ requests })
    return (await answer)[0]
  }
  return { worker, ready, call }
}

/** Ends with the test. */
async function threads(scope, count, options, env) {
  const clients = Array.from({ length: count }, () => client(options, env))
  scope.defer(() => Promise.all(clients.map(({ worker }) => worker.terminate())))
  await Promise.all(clients.map(({ ready }) => ready))
  return clients
}

const answers = (_request, response) => response.end('hello world')

test('threads share: six clients in turn need one handshake, and know their peer', OURS, async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server, {}, answers)
  const clients = await threads(scope, 4, { port: served.port, ca: root.pem })
  const subject = 'localhost'
  const own = await threads(scope, 2, { port: served.port, ca: root.pem, own: true })
  for (let round = 0; round < 5; round++) {
    for (const [at, { call }] of [...clients, ...own].entries()) {
      const fast = at < clients.length ? 0 : 3
      assert.deepStrictEqual(await call(3), { ok: 3, fast, authorized: true, subject })
    }
  }
  assert.deepStrictEqual([served.connections, served.handshakes], [1, 1])
})

test('threads that trust others share nothing', { ...OURS, skip: !isNode }, async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server, {}, answers)
  const [careful] = await threads(scope, 1, { port: served.port, ca: root.pem })
  const [careless] = await threads(
    scope,
    1,
    { port: served.port, ca: root.pem },
    {
      ...process.env,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_NO_WARNINGS: '1',
    },
  )
  for (const { call } of [careful, careless, careful, careless]) assert.strictEqual((await call(1)).ok, 1)
  assert.strictEqual(served.connections, 2)
})

test('threads that are ended in the middle of their requests harm nobody', {
  ...OURS,
  timeout: 60_000 + 500 * TERMINATIONS,
}, async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server, {}, answers)
  const next = random(11)
  const options = { port: served.port, ca: root.pem }
  const [survivor] = await threads(scope, 1, { ...options, own: true })
  for (let ended = 0; ended < TERMINATIONS; ended += 3) {
    const doomed = await threads(scope, 3, { ...options, own: ended % 2 === 1 })
    for (const { worker } of doomed) worker.postMessage({ requests: 10_000 })
    for (const { worker } of doomed) {
      const requests = Math.floor(next() * 40) + 1
      assert.strictEqual((await survivor.call(requests)).ok, requests)
      await worker.terminate()
    }
  }
  assert.strictEqual((await survivor.call(10)).ok, 10)
  // What is left is the survivor's.
  await until(() => served.open <= 1)
  await survivor.worker.terminate()
  await until(() => served.open === 0)
})

/** Runs agents, one for each of 40 requests, until all of them are collected. */
async function collect(scope, identity, freeSocketTimeout = 300) {
  const { root, server } = await authorities
  const served = await secureServer(scope, server, { requestCert: true, rejectUnauthorized: false }, answers)
  const shown = identity === undefined ? [] : [identity.pem, identity.key]
  const { code, late, lines, stderr } = await runScript(
    'shared-collected',
    [served.port, root.pem, 40, freeSocketTimeout, ...shown],
    {
      env: { NODE_OPTIONS: '' },
      flags: isNode ? ['--expose-gc'] : [],
    },
  )
  assert.ok(!late, 'an agent is still there, or what it has said about TLS')
  assert.deepStrictEqual([code, lines], [0, [{ requests: 40, keys: 0, profiles: 0, settings: 0, trusts: 0 }]], stderr)
  await until(() => served.open === 0)
  return served.handshakes
}

// Deno's collector can't be called from a script without flags of its engine.
const COLLECTED = { ...OURS, skip: isDeno && 'needs gc()' }

test('agents that are collected leave nothing behind', COLLECTED, async (scope) => {
  // Each request is in time for the connection of the one before it.
  await withMoreTime(async (ms) => assert.strictEqual(await collect(scope, undefined, ms), 1), [300, 3_000])
})

test('agents with ever new authorities and keys leave none of them behind', COLLECTED, async (scope) => {
  const { client } = await authorities
  assert.strictEqual(await collect(scope, client), 40)
})
