'use strict'

// Handshakes that fail, and what follows them: the outcome is that of the runtime's own agent.

const assert = require('node:assert')
const { createPrivateKey } = require('node:crypto')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')

const { Certificate, makeAuthority } = require('../support/authority')
const { certificate, EXTENSIONS, keyOf, nameOf } = require('../support/der-certificates')
const { outcome, plainServer, rawSecureServer, SecureAgent, secureServer, tellError } = require('../support/secure')
const { isBun, isDeno, isNode, runtimeName } = require('../support/runtime')
const { test } = require('../support/suite')
const { once, until } = require('../support/wait')
const { explain } = require('../..')

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const other = await Certificate.make({ name: 'Other', ca: true })
  const client = await root.issue({ name: 'client', use: 'client' })
  const stranger = await other.issue({ name: 'stranger', use: 'client' })
  const sealed = createPrivateKey(client.key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'sesame',
  })
  return { root, other, server, client, stranger, sealed }
})()

const alert = (number) => Buffer.from([21, 3, 3, 0, 2, 2, number])

/** What a server on the port does; `secure`: it speaks TLS, with these options. */
const servers = {
  'plain HTTP': { plain: (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')) },
  'a close before the handshake': { plain: (socket) => socket.once('data', () => socket.end()) },
  'a reset before the handshake': { plain: (socket) => socket.once('data', () => socket.resetAndDestroy?.()) },
  'a handshake failure': { plain: (socket) => socket.once('data', () => socket.end(alert(40))) },
  'an unknown authority': { plain: (socket) => socket.once('data', () => socket.end(alert(48))) },
  'another protocol version': { plain: (socket) => socket.once('data', () => socket.end(alert(70))) },
  'an internal error': { plain: (socket) => socket.once('data', () => socket.end(alert(80))) },
  'an unknown name': { plain: (socket) => socket.once('data', () => socket.end(alert(112))) },
  'no common application protocol': { secure: { ALPNProtocols: ['one'] }, client: { ALPNProtocols: ['two'] } },
  'an application protocol': { secure: { ALPNProtocols: ['http/1.1'] }, client: { ALPNProtocols: ['http/1.1'] } },
  'TLS 1.2 only': { secure: { maxVersion: 'TLSv1.2' } },
  'TLS 1.3 only': { secure: { minVersion: 'TLSv1.3' } },
  'TLS 1.3 only, asked for 1.2': { secure: { minVersion: 'TLSv1.3' }, client: { maxVersion: 'TLSv1.2' } },
  'TLS 1.2 only, asked for 1.3': { secure: { maxVersion: 'TLSv1.2' }, client: { minVersion: 'TLSv1.3' } },
  'a cipher suite of TLS 1.2': {
    secure: { maxVersion: 'TLSv1.2' },
    client: { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
  },
}

/**
 * Where another outcome than the runtime's is right, or as good; docs/https.md says why.
 * @type {Record<string, Record<string, (theirs: any) => any>>}
 */
const differences = {
  node: {},
  bun: {},
  deno: {
    'an unknown name': () => ({ error: { code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' } }),
  },
}

/** Deno words the errors of its handshakes as rustls does: their codes are what is compared. */
const comparable = ({ error, ...rest }) =>
  error === undefined ? rest : isDeno ? { error: { code: error.code } } : { error, ...rest }

async function run(Agent, { plain, secure, client }, scope) {
  const { root, server } = await authorities
  const { port } = plain ? await plainServer(scope, plain) : await secureServer(scope, server, secure)
  const agent = scope.adopt(new Agent({ ca: root.pem, ...client }))
  const { certificate, ...rest } = await outcome({ port, agent })
  return rest
}

for (const [name, scenario] of Object.entries(servers)) {
  test(`a server's answer to a handshake is ${name}: the outcome is the runtime's own`, async (scope) => {
    const theirs = await run(https.Agent, scenario, scope)
    const ours = await run(SecureAgent, scenario, scope)
    const difference = differences[runtimeName][name]
    assert.deepStrictEqual(comparable(ours), comparable(difference ? difference(theirs) : theirs))
  })
}

for (const kind of ['P-256', 'RSA 2048']) {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`a certificate of version 1, with a key of ${kind}, is taken over ${version} by the engine`, {
      skip: !isNode && 'others take none, or leave it to their own TLS',
    }, async (scope) => {
      const root = { subject: nameOf(['CN', 'Root']), key: keyOf(1) }
      const issued = { subject: nameOf(['CN', 'localhost']), key: keyOf(2, kind), issuer: root, version: 1 }
      const ca = certificate({ ...root, extensions: [EXTENSIONS.basic(true)] }).pem
      const server = { pem: certificate(issued).pem, key: issued.key.pem }
      const versions = { minVersion: version, maxVersion: version }
      const { port } = await secureServer(scope, server, versions)
      const agent = scope.adopt(new SecureAgent({ ca, keepAlive: true }))
      const request = https.get({ host: 'localhost', port, agent })
      const [response] = await once(request, 'response')
      assert.deepStrictEqual([response.socket.authorized, explain(request).carriedBy], [true, 'keepwire'])
      response.resume()
      await once(response, 'end')
    })
  }
}

const HANDSHAKE = 22
const SERVER_KEY_EXCHANGE = 12

/** Spoils what a server has signed: the last byte of its key exchange, which TLS 1.2 does not encrypt. */
function spoil(flight) {
  const spoilt = Buffer.from(flight)
  for (let record = 0; record < spoilt.length; record += 5 + spoilt.readUInt16BE(record + 3)) {
    const end = record + 5 + spoilt.readUInt16BE(record + 3)
    if (spoilt[record] !== HANDSHAKE) continue
    for (let at = record + 5; at + 4 <= end; at += 4 + spoilt.readUIntBE(at + 1, 3)) {
      if (spoilt[at] === SERVER_KEY_EXCHANGE) spoilt[at + 3 + spoilt.readUIntBE(at + 1, 3)] ^= 1
    }
  }
  return spoilt
}

for (const version of [1, 3]) {
  test(`a handshake whose signature is not of the key of its certificate of version ${version} is refused`, async (scope) => {
    const subject = nameOf(['CN', 'localhost'])
    const made = certificate({ subject, key: keyOf(3), version })
    const server = { pem: made.pem, key: made.key.pem }
    const { port } = await secureServer(scope, server, { maxVersion: 'TLSv1.2' })
    const front = await plainServer(scope, (near) => {
      const far = net.connect(port, '127.0.0.1')
      near.on('close', () => far.destroy()).on('error', () => {})
      far.on('close', () => near.destroy()).on('error', () => {})
      near.pipe(far)
      far.once('data', (flight) => {
        near.write(spoil(flight))
        far.pipe(near)
      })
    })
    const ask = (Agent) => outcome({ port: front.port, agent: scope.adopt(new Agent({ ca: made.pem })) })
    const [ours, theirs] = [await ask(SecureAgent), await ask(https.Agent)]
    assert.ok(theirs.error, JSON.stringify(theirs))
    if (isNode) assert.strictEqual(ours.error?.code, theirs.error.code)
    else assert.ok(ours.error, JSON.stringify(ours))
  })
}

/** What a client shows to a server that wants a certificate. */
const credentials = {
  'a certificate and its key': ({ client }) => ({ cert: client.pem, key: client.key }),
  'a certificate and its key as Buffers': ({ client }) => ({
    cert: Buffer.from(client.pem),
    key: Buffer.from(client.key),
  }),
  'arrays of one': ({ client }) => ({ cert: [client.pem], key: [client.key] }),
  'an encrypted key': ({ client, sealed }) => ({ cert: client.pem, key: sealed, passphrase: 'sesame' }),
  'an encrypted key with a passphrase of its own': ({ client, sealed }) => ({
    cert: client.pem,
    key: [{ pem: sealed, passphrase: 'sesame' }],
  }),
  nothing: () => ({}),
  'a certificate of an unknown authority': ({ stranger }) => ({ cert: stranger.pem, key: stranger.key }),
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  for (const [name, show] of Object.entries(credentials)) {
    const sentence = `a server that wants a certificate over ${maxVersion} and is shown ${name}: the outcome is the runtime's own`
    // Whether the alert or the reset comes first is a matter of luck: the server closes with it.
    test(sentence, async (scope) => {
      const known = await authorities
      const wanting = { requestCert: true, rejectUnauthorized: true, ca: known.root.pem, maxVersion }
      // Bun's server sockets do not tell.
      const who = ({ socket }, response) => response.end(socket.getPeerCertificate?.().subject.CN)
      const { port } = await secureServer(scope, known.server, wanting, who)
      const attempt = async (Agent) => {
        const agent = scope.adopt(new Agent({ ca: known.root.pem, keepAlive: true, ...show(known) }))
        const { certificate, ...rest } = await outcome({ port, agent })
        return rest
      }
      const theirs = await attempt(https.Agent)
      const ours = await attempt(SecureAgent)
      if (theirs.error === undefined) assert.deepStrictEqual(ours, theirs)
      else assert.deepStrictEqual(Object.keys(ours), ['error'])
      if (theirs.error && isNode)
        assert.ok([theirs.error.code, 'ECONNRESET', 'EPIPE'].includes(ours.error.code), ours.error.code)
    })
  }
}

test("a key that does not belong to its certificate is refused as the runtime's own agent refuses it", async (scope) => {
  const { root, client, stranger } = await authorities
  const attempt = (Agent) => {
    const agent = scope.adopt(new Agent({ ca: root.pem, cert: client.pem, key: stranger.key }))
    try {
      https.get({ host: 'localhost', port: 1, agent }).on('error', () => {})
    } catch (error) {
      return error.code
    }
    return 'no error'
  }
  assert.strictEqual(attempt(SecureAgent), attempt(https.Agent))
})

const endings = {
  'that ends with the connection': 'HTTP/1.1 200 OK\r\n\r\nhello',
  'by length, cut off': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello',
  'in chunks, cut off': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
}

for (const [name, bytes] of Object.entries(endings)) {
  test(`a body ${name} without an end in TLS: the outcome is the runtime's own`, async (scope) => {
    const { root, server } = await authorities
    const cut = (socket) => {
      socket.on('error', () => {})
      // Not end(): the TCP connection goes, and nothing is said in TLS.
      socket.once('data', () => socket.write(bytes, () => setImmediate(() => scope.cutOff(socket))))
    }
    scope.cutOff = (socket) => raw.get(socket.remotePort).destroy()
    const raw = new Map()
    const listening = await rawSecureServer(scope, server, cut)
    listening.server.on('connection', (socket) => raw.set(socket.remotePort, socket))
    const attempt = async (Agent) => {
      const agent = scope.adopt(new Agent({ ca: root.pem }))
      const { certificate, ...rest } = await outcome({ port: listening.port, agent })
      return rest
    }
    const theirs = await attempt(https.Agent)
    assert.deepStrictEqual(await attempt(SecureAgent), theirs)
  })
}

test('connectTimeout covers the handshake', async (scope) => {
  const { port } = await plainServer(scope, () => {})
  const agent = scope.adopt(new SecureAgent({ connectTimeout: 50 }))
  const { error } = await outcome({ port, agent })
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_CONNECT_TIMEOUT')
})

test('a request that is destroyed while hands are shaken ends at once', async (scope) => {
  const { port } = await plainServer(scope, (socket) => socket.once('data', () => request.destroy()))
  const agent = scope.adopt(new SecureAgent())
  const request = https.get({ host: 'localhost', family: 4, port, agent })
  const error = await new Promise((resolve) => request.on('error', resolve))
  assert.strictEqual(tellError(error).message, 'socket hang up')
})

test('an identity check that throws ends the request and surfaces', { skip: isBun || isDeno }, async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const checkServerIdentity = () => {
    throw new Error('from the check')
  }
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, checkServerIdentity }))
  const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve))
  const listeners = process.listeners('uncaughtException').slice(0, -1)
  for (const listener of listeners) process.removeListener('uncaughtException', listener)
  const { error } = await outcome({ port, agent })
  assert.strictEqual((await uncaught).message, 'from the check')
  for (const listener of listeners) process.on('uncaughtException', listener)
  assert.strictEqual(error.code, 'ECONNRESET')
})

test('the socket is a tls.TLSSocket that tells of its connection', async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  const events = []
  const request = https.get({ host: 'localhost', family: 4, port, agent })
  request.on('socket', (socket) => {
    assert.strictEqual(socket.authorized, false)
    for (const event of ['connect', 'secureConnect']) socket.on(event, () => events.push(event))
  })
  const response = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject))
  const { socket } = response
  assert.ok(socket instanceof tls.TLSSocket)
  assert.ok(socket.encrypted)
  assert.deepStrictEqual(events, ['connect', 'secureConnect'])
  assert.strictEqual(socket.authorized, true)
  assert.strictEqual(socket.getPeerX509Certificate().fingerprint256, socket.getPeerCertificate().fingerprint256)
  assert.strictEqual(socket.getPeerCertificate().issuerCertificate, undefined)
  assert.match(socket.getCipher().name, /^TLS_/)
  assert.strictEqual(socket.getSession(), undefined)
  response.resume()
  await new Promise((resolve) => response.on('end', resolve))
})

test("'keylog' events give the secrets of each session, in the runtime's form", async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const lines = async (Agent) => {
    const agent = scope.adopt(new Agent({ ca: root.pem, maxCachedSessions: 0 }))
    const seen = []
    agent.on('keylog', (line, socket) => {
      assert.ok(socket instanceof tls.TLSSocket)
      seen.push(line.toString('latin1'))
    })
    await outcome({ port, agent })
    return seen
  }
  const ours = await lines(SecureAgent)
  for (const line of ours) assert.match(line, /^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]+\n$/)
  const labels = ours.map((line) => line.split(' ')[0]).sort()
  assert.ok(labels.includes('CLIENT_TRAFFIC_SECRET_0') && labels.includes('SERVER_HANDSHAKE_TRAFFIC_SECRET'))
  if (isNode) assert.deepStrictEqual(labels, (await lines(https.Agent)).map((line) => line.split(' ')[0]).sort())
})

/** The proof: what such a server sent was recorded beside what Node's own agent, and ours, made of it. */
const noAlert = isDeno && 'its server closes at times without having sent the alert'

test('a client certificate that is required after the handshake: the alert is told, however fast the close is', {
  skip: noAlert,
}, async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server, { requestCert: true, minVersion: 'TLSv1.3', ca: root.pem })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  const codes = new Set()
  for (let i = 0; i < 40; i++) {
    const code = await new Promise((resolve) => {
      const request = https.get({ host: 'localhost', family: 4, port, agent })
      request.on('error', (error) => resolve(error.code)).on('response', () => resolve('answered'))
    })
    codes.add(code)
  }
  assert.ok(codes.size === 1 && /CERTIFICATE_REQUIRED$/.test([...codes][0]), [...codes].join())
})

const noEvent = isBun && 'its server says nothing of a connection that it refuses'

for (const method of ['GET', 'POST']) {
  const sentence = `an alert that came before a request was written is its answer: ${method}`
  test(sentence, { skip: noAlert || noEvent }, async (scope) => {
    const { root, server } = await authorities
    const served = await secureServer(scope, server, { requestCert: true, minVersion: 'TLSv1.3', ca: root.pem })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    const refused = once(served.server, 'tlsClientError')
    const request = https.request({ method, host: 'localhost', family: 4, port: served.port, agent })
    const failed = once(request, 'error')
    const [socket] = await once(request, 'socket')
    await Promise.all([once(socket, 'secureConnect'), refused])
    await until(() => served.open === 0)
    request.end()
    const [error] = await failed
    assert.match(error.code, /CERTIFICATE_REQUIRED$/)
    assert.strictEqual(served.connections, 1, 'another connection would hear the same')
  })
}
