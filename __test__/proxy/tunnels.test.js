'use strict'

// https through HTTP proxies: one tunnel per connection, reused like any connection.

const assert = require('node:assert')
const https = require('node:https')
const { inspect } = require('node:util')

const { assertRefused } = require('../support/behind-proxy')
const { http2Server, authority } = require('../support/http2')
const { scriptedProxy } = require('../support/proxy')
const { SecureAgent, secureServer } = require('../support/secure')
const { hasSquid, startSquid } = require('../support/squid')
const { test } = require('../support/suite')
const { until } = require('../support/wait')
const { explain, fetch } = require('../..')

/** What a target answers: what it was asked, to see what has come to it. */
function echo(request, response) {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () =>
    response.end(JSON.stringify([request.method, request.url, request.rawHeaders, `${Buffer.concat(chunks)}`])),
  )
}

/** A target, and an agent that goes to it through a proxy. */
async function setUp(scope, proxy, options = {}, answer = echo) {
  const { root, server } = await authority
  const target = await secureServer(scope, server, { keepAliveTimeout: 60_000 }, answer)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxy, ...options }))
  return { agent, target, ask: (given, body) => ask({ port: target.port, agent, ...given }, body) }
}

/** @returns {Promise<any>} what a request comes to */
function ask(options, body) {
  return new Promise((resolve) => {
    const request = https.request({ host: 'localhost', ...options }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('error', (error) => resolve({ error, request }))
      response.on('end', () => resolve({ status: response.statusCode, text, request }))
    })
    request.on('error', (error) => resolve({ error, request }))
    request.end(body)
  })
}

const skip = hasSquid ? false : 'squid is not installed'

test('300 requests through squid, one after another, are 1 CONNECT', { skip }, async (scope) => {
  const squid = await startSquid(scope, { user: 'user', password: 'pass' })
  const { agent, target, ask } = await setUp(scope, `http://user:pass@127.0.0.1:${squid.port}`)
  for (let at = 0; at < 300; at++) {
    const { error, status } = await ask({ path: `/${at}` })
    assert.deepStrictEqual([error, status], [undefined, 200])
  }
  assert.strictEqual(target.connections, 1)
  agent.destroy()
  await until(() => squid.log().length > 0, 'squid logs the tunnel')
  assert.deepStrictEqual(
    squid.log().map(([method, url]) => [method, url]),
    [['CONNECT', `localhost:${target.port}`]],
  )
})

test('50 requests at a time through squid are 50 tunnels', { skip }, async (scope) => {
  const squid = await startSquid(scope)
  const { target, ask } = await setUp(scope, `http://127.0.0.1:${squid.port}`)
  const worker = async () => {
    for (let at = 0; at < 10; at++) assert.strictEqual((await ask({})).status, 200)
  }
  await Promise.all(Array.from({ length: 50 }, worker))
  assert.ok(target.connections <= 50, `${target.connections} connections`)
})

test('squid refuses who has no credentials: the error has its status and its challenge', { skip }, async (scope) => {
  const squid = await startSquid(scope, { user: 'user', password: 'pass' })
  const { target, ask } = await setUp(scope, `http://user:wrong@127.0.0.1:${squid.port}`)
  const { error } = await ask({})
  assert.deepStrictEqual([error.code, error.statusCode], ['ERR_PROXY_TUNNEL', 407])
  assert.match(error.headers['proxy-authenticate'], /^Basic/)
  assert.strictEqual(
    error.message,
    `Failed to establish tunnel to localhost:${target.port} via http://127.0.0.1:${squid.port}: HTTP/1.1 407 Proxy Authentication Required`,
  )
  assert.strictEqual(target.connections, 0)
})

test('the proxy is told what the runtime tells it, and the target nothing of it', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const url = proxy.url.replace('//', '//us%20er:s%C3%A9cret@')
  const { agent, target, ask } = await setUp(scope, url, { proxyHeaders: { 'X-Tenant': 'seven' } })
  const { request, text } = await ask({ path: '/a' })
  const place = `localhost:${target.port}`
  const digest = Buffer.from('us er:sécret').toString('base64')
  assert.deepStrictEqual(proxy.heads, [
    `CONNECT ${place} HTTP/1.1\r\nproxy-authorization: Basic ${digest}\r\nX-Tenant: seven\r\n` +
      `proxy-connection: keep-alive\r\nhost: ${place}\r\n\r\n`,
  ])
  const shown = [
    text,
    inspect(agent, { depth: 9, showHidden: true }),
    JSON.stringify(agent.stats()),
    inspect(explain(request)),
  ]
  shown.push(...Object.keys(agent.freeSockets), agent.getName({ host: 'localhost' }), inspect(request.socket))
  for (const said of shown) {
    for (const secret of ['cret', digest, 'us%20er', 'seven']) assert.ok(!said.includes(secret), said)
  }
  const { proxy: name, proxyMs } = explain(request)
  assert.strictEqual(name, proxy.url)
  assert.ok(proxyMs > 0)
})

test('options that name the same proxy, copied from an agent, lead through it', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { agent, ask } = await setUp(scope, proxy.url.replace('//', '//user:pass@'))
  const copy = scope.adopt(new SecureAgent({ ...agent.options }))
  await ask({ agent: copy })
  assert.match(proxy.heads[0], /proxy-authorization: Basic dXNlcjpwYXNz\r\n/)
})

test('every way of requesting goes through the proxy', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { agent, target, ask } = await setUp(scope, proxy.url)
  const url = `https://localhost:${target.port}/`
  await ask({})
  const response = await fetch(url, { agent })
  await response.text()
  await new Promise((resolve, reject) => {
    require('../..')
      .https.get(url, { agent }, (res) => res.resume().on('end', resolve))
      .on('error', reject)
  })
  assert.deepStrictEqual([proxy.heads.length, proxy.accepted.connections, target.connections], [1, 1, 1])
})

test('a POST arrives once, with its body', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { ask } = await setUp(scope, proxy.url)
  for (let at = 0; at < 5; at++) {
    const { text } = await ask({ method: 'POST', path: `/${at}` }, `body ${at}`)
    const [method, path, , body] = JSON.parse(text)
    assert.deepStrictEqual([method, path, body], ['POST', `/${at}`, `body ${at}`])
  }
  assert.strictEqual(proxy.heads.length, 1)
})

test('other credentials are another tunnel, also between agents that share', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const shared = { shared: true }
  const { target, agent, ask } = await setUp(scope, proxy.url.replace('//', '//one:1@'), shared)
  const { ca } = agent.options
  const sibling = (user) =>
    scope.adopt(new SecureAgent({ ca, keepAlive: true, shared: true, proxy: proxy.url.replace('//', `//${user}@`) }))
  const direct = scope.adopt(new SecureAgent({ ca, keepAlive: true, shared: true }))
  await ask({})
  await ask({ agent: sibling('other:2') })
  await ask({ agent: direct })
  assert.deepStrictEqual([proxy.heads.length, target.connections], [2, 3])
  await ask({ agent: sibling('one:1') })
  assert.deepStrictEqual([proxy.heads.length, target.connections], [2, 3], 'the same proxy and user share')
})

test('a tunnel that dies idle is replaced without an error, and a POST is sent once', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { target, ask } = await setUp(scope, proxy.url)
  for (const method of ['GET', 'POST', 'GET']) {
    const { error, text } = await ask({ method })
    assert.strictEqual(error, undefined)
    assert.strictEqual(JSON.parse(text)[0], method)
    proxy.cut()
  }
  assert.deepStrictEqual([proxy.heads.length, target.connections], [3, 3])
})

test('a tunnel that dies under a POST fails it, and is not asked for again', async (scope) => {
  const proxy = await scriptedProxy(scope)
  let asked = 0
  const { ask } = await setUp(scope, proxy.url, {}, (_request, response) => {
    asked += 1
    if (asked === 2) proxy.cut()
    else response.end('ok')
  })
  await ask({})
  const { error } = await ask({ method: 'POST' }, 'once')
  assert.strictEqual(error.code, 'ECONNRESET')
  assert.deepStrictEqual([asked, proxy.heads.length], [2, 1])
})

test('a refusal is the runtime’s error, with its status', async (scope) => {
  for (const status of ['502 Bad Gateway', '403 Forbidden', '301 Moved', '500 No']) {
    const proxy = await scriptedProxy(scope, {
      onHead: (_head, socket) => (socket.end(`HTTP/1.1 ${status}\r\nX-Why: because\r\n\r\nno`), true),
    })
    const { target, ask } = await setUp(scope, proxy.url)
    const { error } = await ask({})
    const place = `localhost:${target.port}`
    assert.deepStrictEqual(
      [error.code, error.statusCode, error.message, error.headers['x-why']],
      [
        'ERR_PROXY_TUNNEL',
        Number(status.slice(0, 3)),
        `Failed to establish tunnel to ${place} via ${proxy.url}: HTTP/1.1 ${status}`,
        'because',
      ],
    )
    assert.strictEqual(target.connections, 0)
  }
})

test('any 2xx is a tunnel, informational answers come before it, and lengths mean nothing', async (scope) => {
  for (const answer of [
    'HTTP/1.1 201 Fine\r\n\r\n',
    'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  ]) {
    const proxy = await scriptedProxy(scope, {
      onHead(_head, socket) {
        const { write } = socket
        socket.write = (text, ...rest) => {
          socket.write = write
          return socket.write(String(text).startsWith('HTTP/1.1 200') ? answer : text, ...rest)
        }
      },
    })
    const { ask } = await setUp(scope, proxy.url)
    assert.strictEqual((await ask({})).status, 200)
  }
})

test('what is no answer to CONNECT fails the request, and says so', async (scope) => {
  const via = (proxy, port) => `Failed to establish tunnel to localhost:${port} via ${proxy.url}: `
  const ended = () => 'Connection to establish proxy tunnel ended unexpectedly'
  for (const [answer, message] of [
    ['SSH-2.0-OpenSSH_9.2\r\n', (proxy, port) => `${via(proxy, port)}SSH-2.0-OpenSSH_9.2`],
    ['HTTP/1.1 \0\r\n\r\n', (proxy, port) => `${via(proxy, port)}HTTP/1.1 ?`],
    ['', ended],
    ['HTTP/1.1 200 OK\r\nX: ', ended],
    [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`, () => 'Proxy response headers exceeded 16384 bytes'],
    [
      'HTTP/1.1 200 OK\r\n\r\n220 hello',
      (proxy, port) => `${via(proxy, port)}the proxy sent 9 bytes of its own through it`,
    ],
  ]) {
    const proxy = await scriptedProxy(scope, { onHead: (_head, socket) => (socket.end(answer, 'latin1'), true) })
    const { target, ask } = await setUp(scope, proxy.url)
    const { error } = await ask({ method: 'POST' }, 'body')
    assert.deepStrictEqual(
      [error.code, error.message, error.statusCode],
      ['ERR_PROXY_TUNNEL', message(proxy, target.port), undefined],
    )
    assert.strictEqual(proxy.heads.length, 1)
  }
})

test('a proxy that is not there fails the request as a server that is not there', async (scope) => {
  const proxy = await scriptedProxy(scope)
  proxy.accepted.server.close()
  const { ask, target } = await setUp(scope, proxy.url)
  const { error } = await ask({})
  assert.deepStrictEqual([error.code, error.syscall, error.port], ['ECONNREFUSED', 'connect', proxy.port])
  assert.strictEqual(target.connections, 0)
})

test('a proxy that says nothing is given connectTimeout, and the error says what was awaited', async (scope) => {
  const proxy = await scriptedProxy(scope, { onHead: () => true })
  const { target, ask } = await setUp(scope, proxy.url, { connectTimeout: 60 })
  const { error } = await ask({})
  assert.deepStrictEqual(
    [error.code, error.message],
    [
      'ERR_KEEPWIRE_CONNECT_TIMEOUT',
      `No connection to localhost:${target.port} via ${proxy.url} within connectTimeout, 60 ms: the proxy has not answered CONNECT`,
    ],
  )
})

test('a request that is aborted while the proxy thinks takes its tunnel with it', async (scope) => {
  const proxy = await scriptedProxy(scope, { onHead: () => true })
  const { agent, target } = await setUp(scope, proxy.url)
  const request = https.get({ host: 'localhost', port: target.port, agent })
  const failed = new Promise((resolve) => request.on('error', resolve))
  await until(() => proxy.heads.length === 1, 'the proxy was asked')
  request.destroy()
  assert.strictEqual((await failed).code, 'ECONNRESET')
  await until(() => proxy.accepted.open === 0, 'the connection to the proxy is closed')
})

test('a tunnel that ends in the handshake, or leads to somebody else, is an error and no way around', async (scope) => {
  const closing = await scriptedProxy(scope, {
    onHead: (_head, socket) => (socket.end('HTTP/1.1 200 OK\r\n\r\n'), true),
  })
  const { target, ask } = await setUp(scope, closing.url)
  const { error } = await ask({})
  assert.match(error.code, /^(?:ECONNRESET|ERR_SOCKET_CLOSED)$/)
  assert.deepStrictEqual([target.connections, closing.heads.length], [0, 1])
  const { error: untrusted } = await (await setUp(scope, (await scriptedProxy(scope)).url, { ca: [] })).ask({})
  assert.match(untrusted.code, /CERT|ISSUER|VERIFY/)
})

test('what only the runtime’s sockets could carry fails: it would go past the proxy', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { agent, target, ask } = await setUp(scope, proxy.url)
  for (const options of [{ headers: { Connection: 'Upgrade', Upgrade: 'websocket' } }, { secureOptions: 0x4 }]) {
    const { error } = await ask(options)
    assert.strictEqual(error?.code, 'ERR_KEEPWIRE_PROXY_UNSUPPORTED')
    assert.ok(error.message.includes(proxy.url))
  }
  assert.deepStrictEqual([target.connections, proxy.heads.length], [0, 0])
  assert.deepStrictEqual(Object.keys(agent.sockets), [])
})

test('nobody looks the target’s name up', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { target, ask } = await setUp(scope, proxy.url, { servername: 'localhost' })
  const { error, status } = await ask({ host: 'no-such-name.invalid', port: target.port })
  assert.deepStrictEqual([error, status], [undefined, 200])
  assert.match(proxy.heads[0], /^CONNECT no-such-name\.invalid:/)
  const named = proxy.url.replace('127.0.0.1', 'proxy.invalid')
  const asked = []
  const lookup = (name, options, done) => {
    asked.push(name)
    if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
    else done(null, '127.0.0.1', 4)
  }
  const other = await setUp(scope, named, { lookup })
  assert.strictEqual((await other.ask({})).status, 200)
  assert.deepStrictEqual(asked, ['proxy.invalid'])
})

test('HTTP/2 goes through one tunnel', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { root } = await authority
  const served = await http2Server(scope, { onRequest: (_request, response) => response.end('ok') })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, http2: true, proxy: proxy.url }))
  const all = await Promise.all(Array.from({ length: 30 }, () => ask({ port: served.port, agent })))
  assert.deepStrictEqual(
    all.filter(({ status }) => status !== 200),
    [],
  )
  assert.deepStrictEqual([proxy.heads.length, served.connections, served.counts.streams], [1, 1, 30])
})

test('options that make no sense are refused by the constructor, and no message shows a password', () => {
  for (const proxy of [
    'user:hush@',
    'ftp://user:hush@localhost',
    'http://user:hush%zz@localhost',
    'http://user:hush@localhost/path',
    'socks9://hush@localhost',
  ]) {
    assertRefused({ proxy }, 'ERR_PROXY_INVALID_CONFIG')
  }
  for (const proxy of [5, true, {}]) assertRefused({ proxy }, 'ERR_INVALID_ARG_TYPE')
  const proxy = 'http://localhost'
  assertRefused({ proxy, proxyHeaders: 'hush' }, 'ERR_INVALID_ARG_TYPE')
  assertRefused({ proxy, proxyHeaders: { 'a b': 'hush' } }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxy, proxyHeaders: { a: 'hush\r\nb: c' } }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxy, proxyHeaders: { Host: 'hush' } }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxyHeaders: { a: 'b' } }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxy, proxyEnv: {} }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxy, allowAddress: () => true }, 'ERR_INVALID_ARG_VALUE')
})
