'use strict'

// Our own request() over TLS: fast on a connection that is open, with all that a TLS socket tells; what is asked for about
// security, for one request or by a change of the agent, counts from that request on.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const tls = require('node:tls')

const keepwire = require('../..')
const { makeAuthority } = require('../support/authority')
const { failure, read } = require('../support/client')
const { isFast } = require('../support/fast-recorder')
const { reply } = require('../support/peer')
const { isDeno } = require('../support/runtime')
const { plainServer, secureServer, tellError, tellSocket } = require('../support/secure')
const { test } = require('../support/suite')
const { once, turns } = require('../support/wait')

const KEEP_ALIVE = { keepAlive: true }

/** A server, an agent of ours that trusts it, and one of the runtime's. */
async function setUp(scope, { trusts = true, ...options } = {}, serverOptions = {}) {
  const { root, server: identity } = await makeAuthority()
  const server = await secureServer(scope, identity, serverOptions, (request, response) => response.end(request.url))
  const agentOptions = { ...KEEP_ALIVE, ...(trusts && { ca: root.pem }), ...options }
  const ours = scope.adopt(new keepwire.HttpsAgent(agentOptions))
  const runtimes = scope.adopt(new https.Agent(agentOptions))
  const target = { host: 'localhost', port: server.port }
  return { root, server, ours, runtimes, target }
}

test('on a connection that is open, a request over TLS stays fast', async (scope) => {
  const { ours: agent, server, target } = await setUp(scope)
  for (const path of ['/first', '/second', '/second', '/third?a=b']) {
    const { body, request, response, reused } = await read(keepwire.https.get({ ...target, path, agent }))
    assert.deepStrictEqual([body, reused], [path, path !== '/first'])
    assert.strictEqual(isFast(request) && isFast(response), path !== '/first')
    assert.ok(request instanceof http.ClientRequest && response instanceof http.IncomingMessage)
    assert.strictEqual(request.protocol, 'https:')
    await turns(3)
  }
  const { body } = await read(keepwire.https.get(`https://localhost:${target.port}/by-url`, { agent }))
  assert.strictEqual(body, '/by-url')
  assert.deepStrictEqual([server.connections, server.handshakes], [1, 1])
})

test("a fast request's socket tells of TLS what the runtime's tells", async (scope) => {
  const { ours, runtimes, target } = await setUp(
    scope,
    { ALPNProtocols: ['http/1.1'] },
    { ALPNProtocols: ['http/1.1'] },
  )
  const told = []
  for (const [{ get }, agent] of [
    [https, runtimes],
    [keepwire.https, ours],
  ]) {
    for (let i = 0; i < 2; i++) {
      const request = get({ ...target, agent })
      const [response] = await once(request, 'response')
      const { socket } = response
      assert.ok(socket instanceof tls.TLSSocket)
      assert.strictEqual(request.socket, socket)
      const { subject, issuer, fingerprint256, subjectaltname } = socket.getPeerCertificate()
      const facts = { ...tellSocket(socket), subject, issuer, fingerprint256, subjectaltname }
      if (i === 1) told.push(facts)
      assert.strictEqual(isFast(request), get === keepwire.https.get && i === 1)
      response.resume()
      await once(response, 'close')
    }
  }
  assert.deepStrictEqual(told[1], told[0])
  assert.strictEqual(told[0].authorized, true)
})

test("a fresh connection's events come in the runtime's order", async (scope) => {
  const { ours, runtimes, target } = await setUp(scope)
  const logs = []
  for (const [{ get }, agent] of [
    [https, runtimes],
    [keepwire.https, ours],
  ]) {
    const log = []
    const request = get({ ...target, agent })
    request.on('socket', (socket) => {
      log.push('socket')
      for (const event of ['connect', 'secureConnect']) {
        socket.on(event, () => log.push(`${event} ${socket.authorized}`))
      }
    })
    for (const event of ['finish', 'response', 'close']) request.on(event, () => log.push(event))
    const over = once(request, 'close')
    const [response] = await once(request, 'response')
    response.resume()
    await over
    logs.push(log)
  }
  assert.deepStrictEqual(logs[1], logs[0])
})

test('what a request says about security counts for it alone', async (scope) => {
  const { ours: agent, root, target } = await setUp(scope, { trusts: false })
  const get = (options) => keepwire.https.get({ ...target, agent, ...options })
  const untrusted = await failure(read(get()))
  assert.match(
    untrusted.code,
    /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/,
  )
  for (const options of [
    { ca: root.pem },
    { rejectUnauthorized: false },
    { ca: root.pem, servername: '127.0.0.1.example', checkServerIdentity: () => undefined },
  ]) {
    const { body, request, reused, socket } = await read(get(options))
    assert.deepStrictEqual([body, reused], ['/', false])
    assert.ok(!isFast(request))
    assert.strictEqual(socket.authorized, options.rejectUnauthorized !== false)
    assert.strictEqual((await failure(read(get()))).code, untrusted.code)
    await turns(3)
  }
  const wrongName = await failure(read(get({ ca: root.pem, servername: 'example.com' })))
  assert.strictEqual(wrongName.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
})

test('what an agent is told about security counts from the next request on', async (scope) => {
  const { ours: agent, root, server, target } = await setUp(scope)
  const get = () => read(keepwire.https.get({ ...target, agent }))
  await get()
  await turns(3)
  assert.ok(isFast((await get()).request))
  agent.options.ca = undefined
  assert.ok((await failure(get())).code)
  agent.options.rejectUnauthorized = false
  assert.strictEqual((await get()).socket.authorized, false)
  agent.options.ca = root.pem
  delete agent.options.rejectUnauthorized
  const handshakes = server.handshakes
  await turns(3)
  const { request, reused, socket } = await get()
  assert.deepStrictEqual([isFast(request), reused, socket.authorized], [true, true, true])
  assert.strictEqual(server.handshakes, handshakes)
})

test('so does what the process is told', async (scope) => {
  const { ours: agent, target } = await setUp(scope, { trusts: false })
  const get = () => read(keepwire.https.get({ ...target, agent }))
  const name = 'NODE_TLS_REJECT_UNAUTHORIZED'
  const before = process.env[name]
  scope.defer(() => {
    if (before === undefined) delete process.env[name]
    else process.env[name] = before
  })
  process.env[name] = '0'
  assert.strictEqual((await get()).socket.authorized, false)
  await turns(3)
  delete process.env[name]
  assert.ok((await failure(get())).code, 'the unverified connection is not used')
})

test('the name that a Host header says is the name that is asked for', async (scope) => {
  const { ours: agent, server, target } = await setUp(scope, { rejectUnauthorized: false })
  const names = []
  server.server.on('secureConnection', (socket) => names.push(socket.servername))
  const get = (headers) => read(keepwire.https.get({ ...target, agent, headers }))
  await get()
  await turns(3)
  await get({ Host: `localhost:${target.port}` })
  for (let i = 0; i < 2; i++) {
    const { request, reused } = await get({ Host: 'example.com' })
    assert.deepStrictEqual([isFast(request), reused], [i === 1, i === 1])
    await turns(3)
  }
  assert.deepStrictEqual(names, ['localhost', 'example.com'])
})

test("a failing handshake is told as with the runtime's request", async (scope) => {
  const { root, server: identity } = await makeAuthority()
  const secure = await secureServer(scope, identity)
  const plain = await plainServer(scope, (socket) => socket.end(reply('no TLS')))
  for (const options of [
    { port: secure.port },
    { port: secure.port, host: '127.0.0.1', servername: 'example.com', ca: root.pem },
    { port: plain.port },
  ]) {
    const errors = []
    for (const [{ get }, Agent] of [
      [https, https.Agent],
      [keepwire.https, keepwire.HttpsAgent],
    ]) {
      const agent = scope.adopt(new Agent(KEEP_ALIVE))
      errors.push(tellError(await failure(read(get({ host: 'localhost', family: 4, agent, ...options })))))
    }
    assert.ok(errors[0].code)
    assert.strictEqual(errors[1].code, errors[0].code)
    if (!isDeno) assert.strictEqual(errors[1].message, errors[0].message)
  }
})

test('whoever looks at the agent, or gives it another request, finds the requests that were just made', async (scope) => {
  const { ours: agent, target } = await setUp(scope, { maxSockets: 1 })
  await read(keepwire.https.get({ ...target, agent }))
  await turns(3)
  const first = keepwire.https.get({ ...target, path: '/1', agent })
  const second = https.get({ ...target, path: '/2', agent })
  const third = keepwire.https.get({ ...target, path: '/3', agent })
  const answers = [first, second, third].map(read)
  assert.deepStrictEqual(Object.values(agent.requests).flat(), [second, third])
  assert.deepStrictEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    ['/1', '/2', '/3'],
  )
})

test("a server that only the runtime's TLS can speak with is served by that", {
  skip: isDeno && 'has the same TLS',
}, async (scope) => {
  const { root } = await makeAuthority()
  const identity = await root.issue({ name: 'localhost', dns: ['localhost'], use: 'server', kind: 'RSA 2048' })
  const server = await secureServer(scope, identity, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' })
  const agent = scope.adopt(new keepwire.HttpsAgent({ ...KEEP_ALIVE, ca: root.pem }))
  const target = { host: 'localhost', port: server.port, agent }
  for (let i = 0; i < 3; i++) {
    const { body, request } = await read(keepwire.https.get(target))
    assert.strictEqual(body, 'ok')
    assert.strictEqual(keepwire.explain(request).carriedBy, 'runtime')
    await turns(3)
  }
  // Known for it, it is not asked again.
  assert.strictEqual(server.connections, 2)
})

test("with the runtime's agent, or none, it is the runtime's request", async (scope) => {
  const { root, runtimes, target } = await setUp(scope)
  for (const agent of [runtimes, false]) {
    const { body, request } = await read(keepwire.https.get({ ...target, agent, ca: root.pem }))
    assert.strictEqual(body, '/')
    assert.ok(!isFast(request))
  }
})
