'use strict'

// Servers that can do nothing of what the engine's TLS offers: the runtime's own TLS serves their requests, if it can.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')

const { makeAuthority } = require('../support/authority')
const { hasNginx, startNginx } = require('../support/nginx')
const { isBun, isDeno, isNode } = require('../support/runtime')
const { listen, outcome, plainServer, SecureAgent, secureServer } = require('../support/secure')
const { test } = require('../support/suite')
const { once, until, withMoreTime } = require('../support/wait')
const keepwire = require('../..')

const { explain } = keepwire

const REASON = 'tls-legacy-server'
const OURS = { ours: 'has nowhere else to go' }

const localhost = { name: 'localhost', dns: ['localhost'], ip: ['127.0.0.1'], use: 'server' }

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const [rsa, weak, p521] = await Promise.all(
    ['RSA 2048', 'RSA 1024', 'P-521'].map((kind) => root.issue({ ...localhost, kind })),
  )
  return { root, server, rsa, weak, p521 }
})()

const alert = (number) => Buffer.from([21, 3, 3, 0, 2, 2, number])

const CBC = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' }

/** What a server is limited to; `openssl`: only that can be. */
const servers = {
  'CBC suites': { identity: 'rsa', options: CBC },
  'key exchange by RSA': { identity: 'rsa', options: { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' } },
  'finite fields': {
    openssl: true,
    identity: 'rsa',
    options: { maxVersion: 'TLSv1.2', ciphers: 'DHE-RSA-AES128-GCM-SHA256', dhparam: 'auto' },
  },
  'the group P-521 over TLS 1.2': { identity: 'server', options: { maxVersion: 'TLSv1.2', ecdhCurve: 'P-521' } },
  'the group P-521 over TLS 1.3': { identity: 'server', options: { minVersion: 'TLSv1.3', ecdhCurve: 'P-521' } },
  'a key of P-521 over TLS 1.2': { identity: 'p521', options: { maxVersion: 'TLSv1.2' } },
  'a key of P-521 over TLS 1.3': { identity: 'p521', options: { minVersion: 'TLSv1.3' } },
  'a short RSA key over TLS 1.2': {
    openssl: true,
    identity: 'weak',
    options: { maxVersion: 'TLSv1.2', ciphers: 'DEFAULT@SECLEVEL=0' },
  },
  'a short RSA key over TLS 1.3': {
    openssl: true,
    identity: 'weak',
    options: { minVersion: 'TLSv1.3', ciphers: 'DEFAULT@SECLEVEL=0' },
  },
  'TLS 1.1': {
    openssl: true,
    identity: 'rsa',
    options: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
  },
}

/** A server that is limited to what the engine does not have; Deno cannot be one, its own TLS is the engine's. */
async function limited(scope, { identity, options }, answer) {
  const known = await authorities
  return secureServer(scope, known[identity], options, answer)
}

for (const [what, server] of Object.entries(servers)) {
  const skip = isDeno || (server.openssl && !isNode)
  test(`a server that has only ${what}: the outcome is the runtime's own`, { skip }, async (scope) => {
    const { root } = await authorities
    const { port } = await limited(scope, server)
    const attempt = async (Agent) => {
      const agent = scope.adopt(new Agent({ ca: root.pem, keepAlive: true }))
      const first = await outcome({ port, agent })
      return [first, await outcome({ port, agent }), agent]
    }
    const [theirs, theirsAgain] = await attempt(https.Agent)
    const [ours, oursAgain, agent] = await attempt(SecureAgent)
    assert.deepStrictEqual(ours, theirs)
    assert.deepStrictEqual(oursAgain, theirsAgain)
    if (agent.stats === undefined) return
    const [told] = Object.values(agent.stats().origins)
    // Bun's own TLS has some of it as ours has.
    if (told.created === 0) assert.deepStrictEqual([told.foreign, told.errors], [{ [REASON]: 2 }, {}])
    else assert.ok(isBun, 'the engine has it')
  })
}

const SHA1 = 'ssl_protocols TLSv1.2; ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0'

test("a server that signs with SHA-1 only: the outcome is the runtime's own, by the engine where it is a response", {
  skip: !hasNginx && 'nginx is not installed',
}, async (scope) => {
  const { root, rsa } = await authorities
  const port = await startNginx(
    scope,
    { 'cert.pem': rsa.pem, 'key.pem': rsa.key },
    (free) => `
      listen 127.0.0.1:${free} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;
      ${SHA1}; ssl_conf_command SignatureAlgorithms RSA+SHA1;
      location / { return 200 'hello'; }`,
  )
  const attempt = async (Agent) => {
    const agent = scope.adopt(new Agent({ ca: root.pem }))
    return [await outcome({ port, agent }), await outcome({ port, agent }), agent]
  }
  const [theirs, theirsAgain] = await attempt(https.Agent)
  const [ours, oursAgain, agent] = await attempt(SecureAgent)
  assert.deepStrictEqual([ours, oursAgain], [theirs, theirsAgain])
  // BoringSSL takes such signatures.
  assert.strictEqual(ours.status, isBun ? 200 : undefined)
  if (agent.stats === undefined) return
  const [told] = Object.values(agent.stats().origins)
  assert.deepStrictEqual([told.created, told.foreign], isBun ? [2, {}] : [0, { [REASON]: 2 }])
})

/** What is limited everywhere. */
const legacy = (scope, answer) => limited(scope, servers['CBC suites'], answer)

test('a server is remembered: the next request and the next agent go there at once', {
  ...OURS,
  skip: isDeno,
}, async (scope) => {
  const { root } = await authorities
  const served = await legacy(scope)
  const opened = []
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  for (const by of [agent, agent, scope.adopt(new SecureAgent({ ca: root.pem }))]) {
    assert.strictEqual((await outcome({ port: served.port, agent: by })).status, 200)
    opened.push(served.connections)
  }
  assert.deepStrictEqual(opened, [2, 2, 3])
  assert.deepStrictEqual([await agent.preconnect(`https://localhost:${served.port}`), served.connections], [0, 4])
})

test('a request that goes another way has said all it had to say, once', { ...OURS, skip: isDeno }, async (scope) => {
  const { root } = await authorities
  const bodies = []
  const { port } = await legacy(scope, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      bodies.push([request.method, request.headers['x-name'], body])
      response.end('ok')
    })
  })
  const heard = []
  const started = () => heard.push('start')
  diagnostics.subscribe('http.client.request.start', started)
  scope.defer(() => diagnostics.unsubscribe('http.client.request.start', started))
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, maxSockets: 2 }))
  const requests = Array.from({ length: 6 }, (_, i) => {
    const request = https.request({ host: 'localhost', family: 4, port, agent, method: 'POST', timeout: 20_000 })
    request.setHeader('X-Name', `number ${i}`)
    for (const event of ['prefinish', 'finish', 'close']) request.on(event, () => heard.push(event))
    request.write('one ', () => heard.push('written'))
    request.write('twö ', 'latin1')
    // Some are complete before they have a connection, some have more to say when it is being opened.
    if (i % 2 === 0) request.end('three')
    else request.once('socket', () => setImmediate(() => request.end(Buffer.from('three'), () => heard.push('ended'))))
    return request
  })
  await Promise.all(
    requests.map(async (request) => {
      const [response] = await once(request, 'response')
      assert.strictEqual(response.statusCode, 200)
      assert.ok(request.socket instanceof tls.TLSSocket && request.socket.authorized)
      response.resume()
      await once(request, 'close')
      assert.deepStrictEqual([explain(request).carriedBy, explain(request).reason], ['runtime', REASON])
    }),
  )
  const all = requests.map((_, i) => ['POST', `number ${i}`, 'one tw\xf6 three'])
  const latin1 = ([method, name, body]) => [method, name, body.replace('\ufffd', '\xf6')]
  assert.deepStrictEqual(bodies.map(latin1).sort(), all)
  const counts = {}
  for (const name of heard) counts[name] = (counts[name] ?? 0) + 1
  const { start, ...events } = counts
  assert.deepStrictEqual(events, { prefinish: 6, finish: 6, close: 6, written: 6, ended: 3 })
  // Deno and Bun tell of it in their own way.
  if (!isBun) assert.strictEqual(start, 6)
})

test('our own requests go there too', { ...OURS, skip: isDeno }, async (scope) => {
  const { root } = await authorities
  const served = await legacy(scope, (request, response) => request.pipe(response))
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  const opened = []
  for (const body of ['one', '', 'two', 'three']) {
    const options = { host: 'localhost', port: served.port, agent, method: body ? 'POST' : 'GET', path: '/' }
    const request = keepwire.https.request(options)
    const answer = once(request, 'response')
    request.end(body)
    const [response] = await answer
    let text = ''
    response.setEncoding('latin1').on('data', (chunk) => (text += chunk))
    await once(response, 'end')
    assert.deepStrictEqual([text, explain(request).reason], [body, REASON])
    opened.push(served.connections)
  }
  assert.deepStrictEqual(opened, [2, 2, 2, 2])
})

test('a request that is given up before it went another way is over', { ...OURS, skip: isDeno }, async (scope) => {
  const { root } = await authorities
  const served = await legacy(scope)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, maxSockets: 1 }))
  const request = https.get({ host: 'localhost', family: 4, port: served.port, agent })
  request.once('socket', (socket) => socket.once('close', () => request.destroy()))
  const [error] = await once(request, 'error')
  assert.strictEqual(error.message, 'socket hang up')
  await until(() => agent.totalSocketCount === 0)
  assert.strictEqual((await outcome({ port: served.port, agent })).status, 200)
})

test(
  'if the runtime fails as well, its error is what the user sees, and nothing is remembered',
  OURS,
  async (scope) => {
    const served = await plainServer(scope, (socket) => socket.once('data', () => socket.end(alert(40))))
    const agent = scope.adopt(new SecureAgent())
    const theirs = await outcome({ port: served.port, agent: scope.adopt(new https.Agent()) })
    for (let i = 1; i <= 3; i++) {
      assert.deepStrictEqual(await outcome({ port: served.port, agent }), theirs)
      assert.strictEqual(served.connections, 1 + 2 * i)
    }
  },
)

/**
 * A server that ends its connections with these numbers as soon as it is greeted, as some do with what they can't serve.
 * @param {Buffer} [word] what it says before
 */
async function resetting(scope, wrong, word) {
  const { server } = await authorities
  const behind = await secureServer(scope, server)
  let accepted = 0
  return listen(
    scope,
    net.createServer((socket) => {
      accepted += 1
      if (wrong.has(accepted)) {
        socket.once('data', () => (word === undefined ? socket.destroy() : socket.end(word)))
        return
      }
      const through = net.connect(behind.port, '127.0.0.1')
      socket.pipe(through).pipe(socket)
      for (const end of [socket, through]) end.on('error', () => {}).on('close', () => through.destroy())
    }),
  )
}

test('a server that ends the first handshake without a word is asked by the runtime', OURS, async (scope) => {
  const { root } = await authorities
  const { port } = await resetting(scope, new Set([1]))
  const agent = scope.adopt(new SecureAgent({ ca: root.pem }))
  assert.strictEqual((await outcome({ port, agent })).status, 200)
  const [told] = Object.values(agent.stats().origins)
  assert.deepStrictEqual([told.foreign, told.created, told.errors], [{ [REASON]: 1 }, 0, {}])
})

/** What anybody on the way can do to one hello. */
const strangers = { 'an alert': alert(40), 'a protocol alert': alert(70), 'a close': undefined }

for (const [what, word] of Object.entries(strangers)) {
  test(`a server whose first hello is answered with ${what} is not remembered as an old one`, OURS, async (scope) => {
    const { root } = await authorities
    const { port } = await resetting(scope, new Set([1]), word)
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, connectTimeout: 60_000, headersTimeout: 60_000 }))
    assert.strictEqual((await outcome({ port, agent })).status, 200)
    assert.strictEqual(await (await keepwire.fetch(`https://localhost:${port}/`, { agent })).text(), 'ok')
    assert.strictEqual((await outcome({ port, agent }, keepwire.https.get)).status, 200)
    const [told] = Object.values(agent.stats().origins)
    assert.deepStrictEqual([told.foreign, told.created > 0, told.errors], [{ [REASON]: 1 }, true, {}])
  })
}

/** Ways of requesting, and the code of how they fail. */
const ways = {
  'https.request': (options) => outcome(options).then(({ error }) => error.code),
  'our own request': (options) => outcome(options, keepwire.https.get).then(({ error }) => error.code),
  fetch: ({ agent, path: target, port }) =>
    keepwire
      .fetch(`https://localhost:${port}${target}`, { agent })
      .then((response) => response.text())
      .catch((error) => error.cause.code),
}

const PATIENCE = 60

for (const [way, ask] of Object.entries(ways)) {
  test(`deadlines hold for ${way} over the runtime's sockets`, { ...OURS, skip: isDeno }, async (scope) => {
    const { root } = await authorities
    const { port } = await legacy(scope, (request, response) => {
      if (request.url === '/silent') return
      response.writeHead(200, { 'content-length': 10 }).write('half')
    })
    const to = (target, deadline) => {
      const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, ...deadline }))
      return ask({ port, path: target, agent }).then((code) => {
        const [told] = Object.values(agent.stats().origins)
        assert.strictEqual(told.created, 0)
        assert.deepStrictEqual(told.errors, { [code]: 1 })
        return code
      })
    }
    for (let again = 0; again < 2; again++) {
      assert.strictEqual(await to('/silent', { headersTimeout: PATIENCE }), 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
      assert.strictEqual(await to('/half', { bodyTimeout: PATIENCE }), 'ERR_KEEPWIRE_BODY_TIMEOUT')
    }
    // It refuses the engine, and has nothing to say to the runtime.
    let accepted = 0
    const mute = await plainServer(scope, (socket) => {
      accepted += 1
      if (accepted % 2 === 1) socket.once('data', () => socket.end(alert(40)))
      else socket.resume()
    })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, connectTimeout: 5 * PATIENCE }))
    const code = await ask({ port: mute.port, path: '/', agent })
    assert.strictEqual(code, 'ERR_KEEPWIRE_CONNECT_TIMEOUT')
    await until(() => mute.open === 0)
  })
}

test("tcpUserTimeout holds over the runtime's sockets", {
  ...OURS,
  skip: isDeno || (process.platform !== 'linux' && 'only Linux has it'),
}, async (scope) => {
  const { root } = await authorities
  // It answers nothing and reads nothing.
  const { port } = await legacy(scope, () => {})
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, tcpUserTimeout: 5 * PATIENCE }))
  const request = https.request({ host: 'localhost', family: 4, port, agent, method: 'POST' })
  request.end(Buffer.alloc(32 * 1024 * 1024))
  const [error] = await once(request, 'error')
  assert.deepStrictEqual([error.code, error.syscall, explain(request).reason], ['ETIMEDOUT', 'write', REASON])
  // A server that reads all and takes its time is alive.
  const patient = await legacy(scope, (incoming, response) =>
    incoming.resume().on('end', () => setTimeout(() => response.end('ok'), 15 * PATIENCE)),
  )
  assert.strictEqual((await outcome({ port: patient.port, agent })).status, 200)
})

test('of a server with which the engine has shaken hands, that is an error', OURS, async (scope) => {
  const { root } = await authorities
  const { port } = await resetting(scope, new Set([2]))
  // Of another kind than those before: one of their ports may have come again.
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, maxCachedSessions: 7 }))
  assert.strictEqual((await outcome({ port, agent })).status, 200)
  const { error } = await outcome({ port, agent })
  assert.strictEqual(error.code, isBun ? 'ERR_SOCKET_CLOSED' : 'ECONNRESET')
  const [told] = Object.values(agent.stats().origins)
  assert.deepStrictEqual([told.foreign, told.created, told.errors], [{}, 1, { [error.code]: 1 }])
})

/** Timeouts of requests: a loaded machine may need that long until they are sent, which comes first. */
const TIMES = [150, 600, 3_000]

/** What a request does while it may be on its way from the one to the other; `held`: when the server has it. */
const flows = {
  'waits for 100 Continue': {
    options: { method: 'POST', headers: { Expect: '100-continue' } },
    act: (request) => {
      request.flushHeaders()
      request.on('continue', () => request.end('hello'))
    },
  },
  'has a large body': { options: { method: 'POST' }, act: (request) => request.end(Buffer.alloc(3_000_000)) },
  'says its body bit by bit': {
    options: { method: 'POST' },
    act: async (request) => {
      for (let i = 0; i < 20; i++) {
        request.write('x'.repeat(1000))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      request.end()
    },
  },
  'is corked': {
    options: { method: 'POST' },
    act: (request) => {
      request.cork()
      request.write('one')
      const goOn = () => {
        request.uncork()
        request.end('two')
      }
      request.once('socket', () => setTimeout(goOn, 20))
    },
  },
  'is aborted as soon as it has a socket': {
    act: (request, { controller }) => {
      request.once('socket', () => setImmediate(() => controller.abort()))
      request.end()
    },
  },
  'is aborted when the server has it': {
    options: { path: '/held' },
    act: (request) => request.end(),
    held: ({ controller }) => controller.abort(),
  },
  'has a timeout from the start': {
    options: { path: '/held' },
    times: TIMES,
    hasTimeout: true,
    act: (request) => request.on('timeout', () => request.destroy()).end(),
  },
  'is given a timeout': {
    options: { path: '/held' },
    times: TIMES,
    act: (request, { ms }) => request.setTimeout(ms, () => request.destroy()).end(),
  },
  'is given a timeout when it has a socket': {
    options: { path: '/held' },
    times: TIMES,
    act: (request, { ms }) => {
      request.once('socket', () => request.setTimeout(ms, () => request.destroy()))
      request.end()
    },
  },
  "is under way at its agent's end": {
    options: { path: '/held' },
    act: (request) => request.end(),
    held: ({ agent }) => agent.destroy(),
  },
}

for (const [what, { options, times = [0], hasTimeout, act, held = () => {} }] of Object.entries(flows)) {
  test(`a request that ${what} has the events that it has with the runtime's own agent`, {
    skip: isDeno,
  }, async (scope) => {
    const { root } = await authorities
    let context
    const { port, server } = await legacy(scope, (request, response) => {
      if (request.url === '/held') return held(context)
      let bytes = 0
      request.on('data', (chunk) => (bytes += chunk.length))
      request.on('end', () => response.end(`${bytes} bytes`))
    })
    server.on('checkContinue', (request, response) => {
      response.writeContinue()
      server.emit('request', request, response)
    })
    const attempt = async (Agent, ms) => {
      const agent = scope.adopt(new Agent({ ca: root.pem, keepAlive: true, maxSockets: 1 }))
      const controller = new AbortController()
      context = { agent, controller, ms }
      const { signal } = controller
      const request = https.request({
        host: 'localhost',
        family: 4,
        port,
        agent,
        signal,
        timeout: hasTimeout && ms,
        ...options,
      })
      const heard = []
      for (const event of ['continue', 'timeout', 'finish']) request.on(event, () => heard.push(event))
      request.on('error', ({ code, message }) => heard.push([code, message]))
      request.on('response', (response) => response.on('data', (chunk) => heard.push(String(chunk))))
      const closed = new Promise((resolve) => request.on('close', resolve))
      act(request, context)
      await closed
      return heard
    }
    await withMoreTime(
      async (ms) => assert.deepStrictEqual(await attempt(SecureAgent, ms), await attempt(https.Agent, ms)),
      times,
    )
  })
}
