'use strict'

// What proxies do wrong, a row each, over HTTP proxies, those behind TLS, and SOCKS, by each way of requesting: the error, whether the
// program is told that it was the proxy, and that nothing reaches the target twice, or past the proxy.

const assert = require('node:assert')
const https = require('node:https')
const net = require('node:net')

const { makeAuthority } = require('../support/authority')
const { authority } = require('../support/http2')
const { freePort } = require('../support/ports')
const { scriptedProxy } = require('../support/proxy')
const { SecureAgent, secureServer } = require('../support/secure')
const { socksProxy } = require('../support/socks')
const { test } = require('../support/suite')
const keepwire = require('../..')

/** Whom proxies prove to be: not by whom targets do. */
const proxies = makeAuthority()

/** Each gives a body, or rejects with the error that is told. */
const WAYS = {
  'https.request': (options, body) => ask(https, options, body),
  'our own request': (options, body) => ask(keepwire.https, options, body),
  async fetch({ agent, method, port }, body) {
    try {
      return await (await keepwire.fetch(`https://localhost:${port}/`, { agent, method, body })).text()
    } catch (error) {
      throw error.cause ?? error
    }
  },
}

function ask({ request: start }, options, body) {
  return new Promise((resolve, reject) => {
    const request = start({ host: 'localhost', ...options }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('error', reject)
      response.on('end', () => resolve(text))
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** What a proxy answers, or does, when it is asked for a tunnel: an HTTP proxy, and a SOCKS proxy. */
const FAULTS = {
  'wants a login': {
    http: 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n',
    socks: { user: 'user', password: 'pass' },
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', statusCode: 407, message: /: HTTP\/1\.1 407 Proxy Authentication Required$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /: authentication required$/ },
    },
    more: (kind, error) => kind === 'socks' || assert.match(error.headers['proxy-authenticate'], /^Basic/),
  },
  'does not allow it': {
    http: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
    socks: { reply: 2 },
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', statusCode: 403, message: /: HTTP\/1\.1 403 Forbidden$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /: connection not allowed by ruleset$/ },
    },
  },
  'does not reach the target': {
    http: 'HTTP/1.1 502 Bad Gateway\r\n\r\n',
    socks: { reply: 5 },
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', statusCode: 502, message: /: HTTP\/1\.1 502 Bad Gateway$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /: connection refused$/ },
    },
  },
  'sends elsewhere': {
    http: 'HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\n\r\n',
    told: { http: { code: 'ERR_PROXY_TUNNEL', statusCode: 302, message: /: HTTP\/1\.1 302 Found$/ } },
  },
  'is another kind of server': {
    http: 'SSH-2.0-OpenSSH_9.2\r\n',
    socks: 'HTTP/1.1 400 Bad Request\r\n\r\n',
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', message: /: SSH-2\.0-OpenSSH_9\.2$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /: it is no SOCKS proxy$/ },
    },
  },
  'says more than an answer': {
    http: 'HTTP/1.1 200 OK\r\n\r\n220 hello',
    told: { http: { code: 'ERR_PROXY_TUNNEL', message: /: the proxy sent 9 bytes of its own through it$/ } },
  },
  'has no end of its answer': {
    http: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`,
    told: { http: { code: 'ERR_PROXY_TUNNEL', message: /^Proxy response headers exceeded 16384 bytes$/ } },
  },
  'ends within its answer': {
    http: 'HTTP/1.1 200 OK\r\nX: ',
    socks: '\x05',
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', message: /ended unexpectedly$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /ended unexpectedly$/ },
    },
  },
  'ends at once': {
    http: '',
    socks: '',
    told: {
      http: { code: 'ERR_PROXY_TUNNEL', message: /ended unexpectedly$/ },
      socks: { code: 'ERR_PROXY_TUNNEL', message: /ended unexpectedly$/ },
    },
  },
  'says nothing': {
    http: null,
    socks: null,
    options: { connectTimeout: 100 },
    told: {
      http: { code: 'ERR_KEEPWIRE_CONNECT_TIMEOUT', message: /: the proxy has not answered CONNECT$/ },
      socks: { code: 'ERR_KEEPWIRE_CONNECT_TIMEOUT', message: /: the SOCKS proxy has not answered$/ },
    },
  },
}

const KINDS = {
  'HTTP proxy': {
    speaks: 'http',
    start: (scope, given) => scriptedProxy(scope, given),
    options: async () => undefined,
  },
  'HTTPS proxy': {
    speaks: 'http',
    start: async (scope, given) => scriptedProxy(scope, { ...given, identity: (await proxies).server }),
    options: async () => ({ proxyTls: { ca: (await proxies).root.pem } }),
  },
  'SOCKS proxy': {
    speaks: 'socks',
    async start(scope, given) {
      const proxy = await socksProxy(scope, given)
      return Object.assign(proxy, { url: `socks5h://127.0.0.1:${proxy.port}`, heads: proxy.asked })
    },
    options: async () => undefined,
  },
}

/** Answers in the proxy's place: null keeps it waiting. */
function answering(speaks, answer) {
  if (answer === undefined || typeof answer === 'object') return answer ?? silent(speaks)
  // Deno's TLS does not end by end('').
  const say = (socket) => (answer === '' ? socket.end() : socket.end(answer, 'latin1'), true)
  return speaks === 'http' ? { onHead: (_head, socket) => say(socket) } : { onConnection: say }
}

const silent = (speaks) => (speaks === 'http' ? { onHead: () => true } : { onConnection: () => true })

/** A target that counts what it was asked, and an agent that goes there by a proxy. */
async function setUp(scope, kind, proxy, options, answer) {
  const { root, server } = await authority
  const asked = []
  const target = await secureServer(scope, server, { keepAliveTimeout: 60_000 }, (request, response) => {
    asked.push(request.method)
    request.resume().on('end', () => (answer === undefined ? response.end('ok') : answer(response, asked)))
  })
  const told = []
  const agent = scope.adopt(
    new SecureAgent({
      ca: root.pem,
      keepAlive: true,
      proxy: proxy.url,
      onProxyError: (error, url) => told.push([error, url.href.replace(/\/$/, '')]),
      ...(await kind.options()),
      ...options,
    }),
  )
  return { agent, asked, target, told, to: { port: target.port, agent } }
}

const refusal = (promise) =>
  promise.then(
    (text) => assert.fail(`it was answered: ${text}`),
    (error) => error,
  )

for (const [name, kind] of Object.entries(KINDS)) {
  const { speaks } = kind
  for (const [fault, { more, options, told: expected, ...answers }] of Object.entries(FAULTS)) {
    if (expected[speaks] === undefined) continue

    test(`${name} that ${fault}: the error says so, and nothing else is tried`, async (scope) => {
      for (const [way, send] of Object.entries(WAYS)) {
        const proxy = await kind.start(scope, answering(speaks, answers[speaks]))
        const { asked, target, to, told } = await setUp(scope, kind, proxy, options)
        const error = await refusal(send({ ...to, method: 'POST' }, 'body'))
        const { code, message, statusCode } = expected[speaks]
        assert.deepStrictEqual([error.code, error.statusCode], [code, statusCode], `${way}: ${error.message}`)
        assert.match(error.message, message, way)
        more?.(speaks, error)
        assert.deepStrictEqual(told, [[error, proxy.url]], `${way}: whoever gives proxies is told`)
        assert.deepStrictEqual([asked, target.connections, proxy.accepted.connections], [[], 0, 1], way)
      }
    })
  }

  test(`${name} that says nothing within a request’s timeout: that is its tunnel’s, as in the runtime`, async (scope) => {
    for (const module of [https, keepwire.https]) {
      const proxy = await kind.start(scope, silent(speaks))
      const { target, to, told } = await setUp(scope, kind, proxy)
      const events = []
      const request = module.request({ host: 'localhost', ...to, method: 'POST', timeout: 100 })
      request.on('timeout', () => events.push('timeout'))
      const error = await new Promise((resolve) => request.on('error', resolve).end('body'))
      assert.deepStrictEqual(
        [error.code, error.message, events],
        ['ERR_PROXY_TUNNEL', 'Connection to establish proxy tunnel timed out after 100ms', ['timeout']],
      )
      assert.deepStrictEqual([told, target.connections], [[[error, proxy.url]], 0])
    }
  })

  test(`${name} that is not there: the error is a server's that is not there`, async (scope) => {
    for (const [way, send] of Object.entries(WAYS)) {
      const port = await freePort()
      const url = `${speaks === 'socks' ? 'socks5h' : name === 'HTTP proxy' ? 'http' : 'https'}://127.0.0.1:${port}`
      const { target, to, told } = await setUp(scope, kind, { url })
      const error = await refusal(send({ ...to, method: 'POST' }, 'body'))
      assert.deepStrictEqual([error.code, error.syscall, error.port], ['ECONNREFUSED', 'connect', port], way)
      assert.deepStrictEqual(told, [[error, url]], way)
      assert.strictEqual(target.connections, 0, way)
    }
  })

  test(`${name} that resets connections: the error is the connection's, and nothing is sent again`, async (scope) => {
    for (const [way, send] of Object.entries(WAYS)) {
      const { taken, url } = await resetting(scope, speaks, name)
      const { target, to, told } = await setUp(scope, kind, { url })
      const error = await refusal(send({ ...to, method: 'POST' }, 'body'))
      assert.match(error.code, /^(?:ECONNRESET|EPIPE|ERR_PROXY_TUNNEL)$/, `${way}: ${error.message}`)
      assert.deepStrictEqual([target.connections, taken.count], [0, 1], way)
      assert.deepStrictEqual(told, [[error, url]], way)
    }
  })

  test(`${name} that closes tunnels while idle: they are replaced, and everything is asked once`, async (scope) => {
    for (const [way, send] of Object.entries(WAYS)) {
      const proxy = await kind.start(scope)
      const { asked, to, told } = await setUp(scope, kind, proxy)
      const methods = ['GET', 'POST', 'PUT', 'POST', 'GET']
      for (const method of methods) {
        assert.strictEqual(await send({ ...to, method }, method === 'GET' ? undefined : 'body'), 'ok', way)
        proxy.cut()
      }
      assert.deepStrictEqual([asked, proxy.heads.length, told], [methods, methods.length, []], way)
    }
  })

  test(`${name} that closes a tunnel under a request: a GET is sent again, a POST never`, async (scope) => {
    for (const [way, send] of Object.entries(WAYS)) {
      const proxy = await kind.start(scope)
      // The second request on a connection is the one that is cut.
      const { asked, to, told } = await setUp(scope, kind, proxy, {}, (response, all) => {
        if (all.length === 2 || all.length === 4) proxy.cut()
        else response.end('ok')
      })
      assert.strictEqual(await send({ ...to, method: 'GET' }), 'ok', way)
      assert.strictEqual(await send({ ...to, method: 'GET' }), 'ok', way)
      const error = await refusal(send({ ...to, method: 'POST' }, 'body'))
      assert.match(error.code, /^(?:ECONNRESET|UND_ERR_SOCKET)$/, `${way}: ${error.message}`)
      assert.deepStrictEqual(asked, ['GET', 'GET', 'GET', 'POST'], way)
      assert.deepStrictEqual([proxy.heads.length, told], [2, []], `${way}: its tunnel was made`)
    }
  })
}

test('a SOCKS proxy that says more than an answer: TLS fails, and nothing is asked', async (scope) => {
  const kind = KINDS['SOCKS proxy']
  for (const [way, send] of Object.entries(WAYS)) {
    const proxy = await kind.start(scope, { early: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' })
    const { asked, to } = await setUp(scope, kind, proxy)
    const error = await refusal(send({ ...to, method: 'POST' }, 'body'))
    assert.match(error.code, /^(?:EPROTO|ERR_SSL_\w+)$/, `${way}: ${error.message}`)
    assert.deepStrictEqual([asked, proxy.heads.length], [[], 1], way)
  }
})

/** A listener that resets what it accepts as soon as somebody speaks. */
async function resetting(scope, speaks, name) {
  const taken = { count: 0 }
  const server = net.createServer((socket) => {
    taken.count += 1
    socket.on('error', () => {})
    socket.once('data', () => socket.resetAndDestroy?.() ?? socket.destroy())
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  const { port } = server.address()
  const scheme = speaks === 'socks' ? 'socks5h' : name === 'HTTP proxy' ? 'http' : 'https'
  return { taken, url: `${scheme}://127.0.0.1:${port}` }
}
