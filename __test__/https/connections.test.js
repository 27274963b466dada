'use strict'

// Connections and sessions: how many there are, and who may share them.

const assert = require('node:assert')
const { createHash, randomBytes } = require('node:crypto')
const diagnostics = require('node:diagnostics_channel')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const tls = require('node:tls')

const { Certificate, makeAuthority } = require('../support/authority')
const { inLanes } = require('../support/client')
const { outcome, rawSecureServer, SecureAgent, secureServer } = require('../support/secure')
const { baseline, isBun, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')
const { until } = require('../support/wait')
const keepwire = require('../..')

const { explain } = keepwire
/** The runtime's own agent shares in these cases. */
const OURS = { skip: baseline }

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const other = await Certificate.make({ name: 'Other', ca: true })
  const client = await root.issue({ name: 'client', use: 'client' })
  const second = await root.issue({ name: 'second', use: 'client' })
  const named = await root.issue({ name: 'x', dns: ['localhost', 'one.example', 'two.example'] })
  const elsewhere = await root.issue({ name: 'x', dns: ['elsewhere.example'] })
  return { root, other, server, client, second, named, elsewhere }
})()

/** Reads one response whole. */
function get(options) {
  return new Promise((resolve, reject) => {
    const request = https.request({ host: 'localhost', family: 4, ...options }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          body: Buffer.concat(chunks),
          reused: request.reusedSocket,
          resumed: request.socket.isSessionReused?.(),
          socket: request.socket,
          request,
        }),
      )
    })
    request.on('error', reject)
    request.end(options.body)
  })
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`20 requests one after another over ${version} take one handshake`, async (scope) => {
    const { root, server } = await authorities
    const served = await secureServer(scope, server, { maxVersion: version })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    for (let i = 0; i < 20; i++) assert.strictEqual((await get({ port: served.port, agent })).reused, i > 0)
    assert.deepStrictEqual([served.connections, served.handshakes], [1, 1])
  })

  test(`after destroy() the next handshake over ${version} resumes the session`, async (scope) => {
    const { root, server } = await authorities
    const served = await secureServer(scope, server, { maxVersion: version })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    assert.strictEqual((await get({ port: served.port, agent })).resumed, false)
    agent.destroy()
    const again = await get({ port: served.port, agent })
    assert.strictEqual(again.resumed, true)
    // The peer is known from the session.
    assert.strictEqual(again.socket.authorized, true)
    assert.strictEqual(again.socket.getPeerCertificate().subject.CN, 'localhost')
    if (!isBun) assert.deepStrictEqual([served.handshakes, served.resumed], [2, 1])
  })
}

test('maxCachedSessions: 0 resumes nothing', async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, maxCachedSessions: 0 }))
  for (let i = 0; i < 3; i++) assert.strictEqual((await get({ port, agent })).resumed, false)
})

test('agents that ask for the same share sessions', async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const [one, other] = [1, 2].map(() => scope.adopt(new SecureAgent({ ca: root.pem })))
  await get({ port, agent: one })
  assert.strictEqual((await get({ port, agent: other })).resumed, true)
})

test('sessions are kept by endpoint: another port begins a new one', async (scope) => {
  const { root, server } = await authorities
  const agent = scope.adopt(new SecureAgent({ ca: root.pem }))
  const [one, other] = [await secureServer(scope, server), await secureServer(scope, server)]
  await get({ port: one.port, agent })
  assert.strictEqual((await get({ port: other.port, agent })).resumed, false)
  assert.strictEqual((await get({ port: one.port, agent })).resumed, true)
})

/** Pairs of what one and the other ask for; both can be served. */
const pairs = {
  ca: ({ root, other }) => [{ ca: root.pem }, { ca: [root.pem, other.pem] }],
  'a client certificate': ({ root, client }) => [{ ca: root.pem }, { ca: root.pem, cert: client.pem, key: client.key }],
  'the client certificate': ({ root, client, second }) => [
    { ca: root.pem, cert: client.pem, key: client.key },
    { ca: root.pem, cert: second.pem, key: second.key },
  ],
  servername: ({ root }) => [
    { ca: root.pem, servername: 'one.example' },
    { ca: root.pem, servername: 'two.example' },
  ],
  'whether a name is sent': ({ root }) => [{ ca: root.pem }, { ca: root.pem, servername: '' }],
  rejectUnauthorized: ({ root }) => [{ ca: root.pem, rejectUnauthorized: false }, { ca: root.pem }],
  maxVersion: ({ root }) => [{ ca: root.pem }, { ca: root.pem, maxVersion: 'TLSv1.2' }],
  ALPNProtocols: ({ root }) => [{ ca: root.pem }, { ca: root.pem, ALPNProtocols: ['http/1.1'] }],
  checkServerIdentity: ({ root }) => [{ ca: root.pem }, { ca: root.pem, checkServerIdentity: () => undefined }],
}

for (const [what, pair] of Object.entries(pairs)) {
  for (const shared of baseline ? [false] : [false, true]) {
    const also = shared ? ', also with `shared`' : ''
    test(`agents that differ in ${what} share no connection and no session${also}`, async (scope) => {
      const known = await authorities
      const served = await secureServer(scope, known.named, { requestCert: true, rejectUnauthorized: false })
      for (const options of pair(known)) {
        const agent = scope.adopt(new SecureAgent({ ...options, keepAlive: true, shared }))
        const { reused, resumed } = await get({ port: served.port, agent })
        assert.deepStrictEqual([reused, resumed], [false, false])
      }
      assert.strictEqual(served.connections, 2)
    })
  }

  test(`requests of one agent that differ in ${what} share no connection and no session`, async (scope) => {
    const known = await authorities
    const served = await secureServer(scope, known.named, { requestCert: true, rejectUnauthorized: false })
    const agent = scope.adopt(new SecureAgent({ keepAlive: true }))
    const asked = pair(known)
    for (const options of asked) {
      const { reused, resumed } = await get({ ...options, port: served.port, agent })
      assert.deepStrictEqual([reused, resumed], [false, false])
    }
    // Newer runtimes keep no connection that one request alone has judged.
    if (what === 'checkServerIdentity') return
    for (const options of asked) {
      assert.strictEqual((await get({ ...options, port: served.port, agent })).reused, true)
    }
    assert.strictEqual(served.connections, 2)
    assert.strictEqual(Object.keys(agent.freeSockets).length, 2)
  })
}

test('an idle connection that was opened without verification serves nobody who wants it', async (scope) => {
  const { other, server } = await authorities
  const { port } = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ keepAlive: true, ca: other.pem }))
  assert.strictEqual((await outcome({ port, agent, rejectUnauthorized: false })).status, 200)
  assert.strictEqual((await outcome({ port, agent })).error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

test("a change of the agent's options counts from the next request", async (scope) => {
  const { root, other, server } = await authorities
  const { port } = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ keepAlive: true, ca: other.pem }))
  assert.strictEqual((await outcome({ port, agent })).error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  agent.options.ca = root.pem
  assert.strictEqual((await outcome({ port, agent })).status, 200)
  agent.options.ca = other.pem
  assert.strictEqual((await outcome({ port, agent })).error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

/** Ways to say something else in the same place: the options of an agent, and what changes in them. */
const changes = {
  'a list of authorities that grows': ({ root, other }) => {
    const ca = [other.pem]
    return [{ ca }, () => ca.push(root.pem), () => ca.pop()]
  },
  'an authority in a list that is replaced': ({ root, other }) => {
    const ca = [other.pem]
    return [{ ca }, () => (ca[0] = root.pem), () => (ca[0] = Buffer.from(other.pem))]
  },
  'a buffer that is overwritten': ({ root, other }) => {
    const ca = Buffer.alloc(Math.max(root.pem.length, other.pem.length), '\n')
    ca.write(other.pem)
    return [{ ca }, () => ca.fill('\n').write(root.pem), () => ca.fill('\n').write(other.pem)]
  },
}

for (const [what, change] of Object.entries(changes)) {
  test(`a change in place counts from the next request: ${what}`, OURS, async (scope) => {
    const known = await authorities
    const { port } = await secureServer(scope, known.server)
    const [options, trust, distrust] = change(known)
    const agent = scope.adopt(new SecureAgent({ ...options, keepAlive: true }))
    for (const by of [https.get, keepwire.https.get]) {
      assert.strictEqual((await outcome({ port, agent }, by)).error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
      trust()
      assert.strictEqual((await outcome({ port, agent }, by)).status, 200)
      assert.strictEqual((await outcome({ port, agent }, by)).status, 200)
      distrust()
      assert.strictEqual((await outcome({ port, agent }, by)).error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    }
  })
}

/** What the runtime's names do not tell apart: first what is served, then what is refused. */
const ambiguous = {
  "rejectUnauthorized false and 'false'": ({ other }) => [
    { ca: other.pem, rejectUnauthorized: false },
    { ca: other.pem, rejectUnauthorized: 'false' },
  ],
}

for (const [what, pair] of Object.entries(ambiguous)) {
  for (const shared of [false, true]) {
    test(`two judgements are never one identity: ${what}${shared ? ', `shared`' : ''}`, OURS, async (scope) => {
      const known = await authorities
      const { port } = await secureServer(scope, known.server)
      const agent = scope.adopt(new SecureAgent({ keepAlive: true, shared }))
      const [lax, strict] = pair(known)
      assert.strictEqual((await outcome({ ...lax, port, agent })).status, 200)
      assert.match(String((await outcome({ ...strict, port, agent })).error.code), /^(?:UNABLE|DEPTH|SELF_SIGNED)/)
      assert.strictEqual((await outcome({ ...lax, port, agent })).status, 200)
    })
  }
}

test('keys in objects are told apart by what is in them, and nobody trusted from the default', OURS, async (scope) => {
  const { client, root, second, server } = await authorities
  const { port } = await secureServer(scope, server, { requestCert: true, rejectUnauthorized: false })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  const named = [client, second].map(({ key }) => agent.getName({ host: 'localhost', port, key: [{ pem: key }] }))
  assert.notStrictEqual(named[0], named[1])
  assert.notStrictEqual(
    agent.getName({ host: 'localhost', port }),
    agent.getName({ host: 'localhost', port, ca: [''] }),
  )
  for (const expected of [false, true]) {
    const options = { cert: client.pem, key: [{ pem: client.key }] }
    assert.strictEqual((await get({ ...options, port, agent })).reused, expected)
  }
})

test('names are those of the runtime', async () => {
  const { root } = await authorities
  const [ours, theirs] = [new SecureAgent(), new https.Agent()]
  const some = { host: 'a', port: 1, servername: 'b', ca: root.pem, rejectUnauthorized: false, minVersion: 'TLSv1.2' }
  const engine = { privateKeyEngine: 'e', privateKeyIdentifier: 'i' }
  for (const options of [
    undefined,
    { host: 'a', port: 1 },
    some,
    { ...some, cert: 'c', key: 'k', ciphers: 'x' },
    { ...some, ...engine },
  ]) {
    assert.strictEqual(ours.getName(options), theirs.getName(options))
  }
})

test('a server that closes after each reply, unannounced, fails no request', async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server, {}, ({ socket }, response) => {
    response.end('ok', () => socket.end())
  })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  for (let i = 0; i < 50; i++) assert.strictEqual((await get({ port: served.port, agent })).status, 200)
})

test('bytes on an idle connection end it', async (scope) => {
  const { root, server } = await authorities
  const reply = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  const served = await rawSecureServer(scope, server, (socket) => {
    socket.on('data', () => {
      socket.write(reply)
      setImmediate(() => setImmediate(() => socket.write(reply)))
    })
  })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  for (let i = 1; i <= 3; i++) {
    await get({ port: served.port, agent })
    await until(() => Object.keys(agent.freeSockets).length === 0, 'the connection is dropped')
    assert.strictEqual(served.connections, i)
  }
})

for (const size of [1, 16_384, 16_385, 1_000_000]) {
  test(`bodies of ${size} bytes pass both ways unchanged`, async (scope) => {
    const { root, server } = await authorities
    const echo = (request, response) => request.pipe(response)
    const { port } = await secureServer(scope, server, {}, echo)
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')
    for (let i = 0; i < 3; i++) {
      const body = randomBytes(size)
      const answer = await get({ port, agent, method: 'POST', body })
      assert.strictEqual(digest(answer.body), digest(body))
    }
  })
}

test('50 clients in a closed loop use 50 connections', async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, maxSockets: 50 }))
  await inLanes(50, 1000, () => get({ port: served.port, agent }))
  assert.strictEqual(served.connections, 50)
})

// Bun 1.4 reads certificates from files; to the others these options mean nothing.
for (const where of ['agent', 'request']) {
  test(`an authority in a file that the ${where} names is trusted as by the runtime’s agent`, async (scope) => {
    const { root, server } = await authorities
    const { port } = await secureServer(scope, server)
    const folder = mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
    scope.defer(() => rmSync(folder, { recursive: true }))
    const caFile = path.join(folder, 'ca.pem')
    writeFileSync(caFile, root.pem)
    const outcomes = []
    for (const Agent of [https.Agent, SecureAgent]) {
      const agent = scope.adopt(new Agent({ keepAlive: true, ...(where === 'agent' ? { caFile } : {}) }))
      const wanted = where === 'request' ? { caFile } : {}
      // What the first one trusts, the second one does not.
      for (const options of [wanted, {}]) {
        const { status, code } = await get({ port, agent, ...options }).catch((error) => error)
        outcomes.push(status ?? code)
      }
    }
    assert.deepStrictEqual(outcomes.slice(2), outcomes.slice(0, 2))
  })
}

test('a Unix domain socket carries TLS', { skip: process.platform === 'win32' }, async (scope) => {
  const { root, server } = await authorities
  const folder = mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => rmSync(folder, { recursive: true }))
  const socketPath = path.join(folder, 'socket')
  const listening = https.createServer({ cert: server.pem, key: server.key }, (_, response) => response.end('ok'))
  await new Promise((resolve) => listening.listen(socketPath, resolve))
  scope.defer(() => new Promise((resolve) => listening.close(resolve)))
  const agent = scope.adopt(new SecureAgent({ ca: root.pem }))
  assert.strictEqual((await get({ socketPath, agent })).status, 200)
})

for (const [option, value] of [
  ['servername', 'two.example'],
  ['rejectUnauthorized', false],
  ['maxVersion', 'TLSv1.2'],
]) {
  test(`explain() names the option that keeps a request from the connection there is: ${option}`, async (scope) => {
    const { root, named } = await authorities
    const { port } = await secureServer(scope, named)
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    await get({ port, agent })
    const { request } = await get({ port, agent, [option]: value })
    assert.strictEqual(explain(request).reason, `key-differs: ${option}`)
  })
}

test('no report of the agent holds a key', { skip: baseline }, async (scope) => {
  const { root, server, client } = await authorities
  const { port } = await secureServer(scope, server)
  const reported = []
  const note = (message) => reported.push(message.origin)
  for (const name of ['keepwire.connection.open', 'keepwire.request.queue']) {
    diagnostics.subscribe(name, note)
    scope.defer(() => diagnostics.unsubscribe(name, note))
  }
  const options = { ca: root.pem, cert: client.pem, key: client.key, maxSockets: 1, maxPending: 0 }
  const agent = scope.adopt(new SecureAgent(options))
  const [, refused] = await Promise.all([get({ port, agent }), get({ port, agent }).catch((error) => error)])
  assert.strictEqual(refused.code, 'ERR_KEEPWIRE_QUEUE_FULL')
  const plain = scope.adopt(new SecureAgent())
  await get({ port, agent: plain }).catch(() => {})
  const names = [...Object.keys(agent.stats().origins), refused.message, ...reported]
  assert.ok(reported.length > 0 && names.every((name) => name.includes(`localhost:${port}:`)))
  for (const name of names) assert.doesNotMatch(name, /BEGIN|KEY/)
  assert.deepStrictEqual(Object.keys(plain.stats().origins), [`localhost:${port}::4`])
})

test('preconnect() shakes hands before a request needs the connection', { skip: baseline }, async (scope) => {
  const { root, server } = await authorities
  const served = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  await agent.preconnect(`https://localhost:${served.port}`, 2)
  await until(() => served.handshakes === 2, 'two handshakes')
  const { request } = await get({ port: served.port, agent, family: undefined })
  assert.strictEqual(explain(request).reused, true)
  assert.strictEqual(served.connections, 2)
})

for (const [what, serve, code] of [
  ['an unknown authority', 'server', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ['another name', 'elsewhere', 'ERR_TLS_CERT_ALTNAME_INVALID'],
]) {
  test(`preconnect() fails at ${what} with the runtime's own code`, { skip: baseline }, async (scope) => {
    const known = await authorities
    const { port } = await secureServer(scope, known[serve])
    const ca = serve === 'server' ? known.other.pem : known.root.pem
    const agent = scope.adopt(new SecureAgent({ ca, keepAlive: true }))
    await assert.rejects(agent.preconnect(`https://localhost:${port}`, 1), { code })
  })
}

test('keepwire.https is node:https with our agents, and its requests use the global one', async (scope) => {
  if (baseline) return
  const keepwire = require('../..')
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  assert.strictEqual(keepwire.https.Agent, keepwire.HttpsAgent)
  assert.ok(keepwire.https.globalAgent instanceof https.Agent)
  assert.deepStrictEqual(
    Object.keys(https).filter((key) => !(key in keepwire.https)),
    [],
  )
  scope.defer(() => keepwire.https.globalAgent.destroy())
  const reused = []
  for (let i = 0; i < 2; i++) {
    const request = keepwire.https.get({ host: 'localhost', family: 4, port, ca: root.pem })
    const response = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject))
    assert.strictEqual(request.agent, keepwire.https.globalAgent)
    response.resume()
    await new Promise((resolve) => response.on('end', resolve))
    reused.push(request.reusedSocket)
  }
  // Node 18's global agent keeps no connection, and so neither does ours there.
  assert.deepStrictEqual(reused, [false, !isNode || major > 18])
  const alone = keepwire.https.get({ host: 'localhost', family: 4, port, ca: root.pem, agent: false })
  assert.ok(alone.agent instanceof keepwire.HttpsAgent && alone.agent !== keepwire.https.globalAgent)
  await new Promise((resolve, reject) =>
    alone
      .on('close', resolve)
      .on('error', reject)
      .on('response', (response) => response.resume()),
  )
})

/** Requests that only the runtime can carry, and what they are counted as. */
const foreign = {
  'tls-secureContext': ({ root }) => ({ secureContext: tls.createSecureContext({ ca: root.pem }) }),
  'tls-version': ({ root }) => ({ ca: root.pem, minVersion: 'TLSv1.1' }),
  'tls-ciphers': ({ root }) => ({ ca: root.pem, ciphers: 'HIGH' }),
  'tls-servername': () => ({ servername: 'name.0', rejectUnauthorized: false }),
  'tls-ecdhCurve': ({ root }) => ({ ca: root.pem, ecdhCurve: 'P-256' }),
}

for (const [reason, make] of Object.entries(foreign)) {
  test(`requests that only the runtime can carry are carried by it: ${reason}`, { skip: !isNode }, async (scope) => {
    const known = await authorities
    const served = await secureServer(scope, known.server)
    const agent = scope.adopt(new SecureAgent({ ...make(known), keepAlive: true }))
    for (let i = 0; i < 3; i++) assert.strictEqual((await get({ port: served.port, agent })).reused, i > 0)
    assert.strictEqual(served.connections, 1)
    assert.deepStrictEqual([...fallbackReasons(agent)], [[reason, 3]])
  })
}

function fallbackReasons(agent) {
  const symbols = Object.getOwnPropertySymbols(agent)
  return symbols.map((symbol) => agent[symbol]).find((value) => value?.fallbackReasons).fallbackReasons
}

test("http requests are refused with the runtime's own error", (scope) => {
  const agent = scope.adopt(new SecureAgent())
  assert.throws(() => http.get({ host: 'localhost', port: 1, agent }), { code: 'ERR_INVALID_PROTOCOL' })
  return Promise.resolve()
})
