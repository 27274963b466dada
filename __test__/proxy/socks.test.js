'use strict'

// Through SOCKS proxies: a tunnel per connection, whatever the scheme, reused like any connection.

const assert = require('node:assert')
const { inspect } = require('node:util')

const { assertRefused, plainAgent, plainTarget } = require('../support/behind-proxy')
const { authority } = require('../support/http2')
const { failure, send } = require('../support/client')
const { SecureAgent, secureServer } = require('../support/secure')
const { socksProxy } = require('../support/socks')
const { test } = require('../support/suite')
const { explain, fetch, HttpsAgent } = require('../..')

const KINDS = [
  ['socks4', 4, '127.0.0.1'],
  ['socks4a', 4, 'localhost'],
  ['socks5', 5, '127.0.0.1'],
  ['socks5h', 5, 'localhost'],
  ['socks', 5, 'localhost'],
]

for (const [scheme, version, host] of KINDS) {
  test(`${scheme}: is asked once for a connection, and told ${host === 'localhost' ? 'the name' : 'an address'}`, async (scope) => {
    const proxy = await socksProxy(scope)
    const target = await plainTarget(scope)
    const agent = plainAgent(scope, { proxy: `${scheme}://127.0.0.1:${proxy.port}`, family: 4 })
    for (let at = 0; at < 20; at++) {
      const { status } = await send({ host: 'localhost', port: target.port, agent })
      assert.strictEqual(status, 200)
    }
    assert.deepStrictEqual(proxy.asked, [[version, host, target.port, '']])
    assert.deepStrictEqual([proxy.accepted.connections, target.connections], [1, 1])
  })
}

test('https goes through it, by http.request and by fetch', async (scope) => {
  const { root, server } = await authority
  const proxy = await socksProxy(scope, { user: 'us er', password: 'sécret' })
  const target = await secureServer(scope, server, { keepAliveTimeout: 60_000 }, (_req, res) => res.end('ok'))
  const url = `socks5h://us%20er:s%C3%A9cret@127.0.0.1:${proxy.port}`
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxy: url }))
  const { request, status } = await send({ host: 'localhost', port: target.port, agent })
  assert.strictEqual(status, 200)
  const response = await fetch(`https://localhost:${target.port}/`, { agent })
  assert.strictEqual(await response.text(), 'ok')
  assert.deepStrictEqual(proxy.asked, [[5, 'localhost', target.port, 'us er:sécret']])
  const { proxy: name, proxyMs } = explain(request)
  assert.strictEqual(name, `socks5h://127.0.0.1:${proxy.port}`)
  assert.ok(proxyMs > 0)
  const shown = [
    inspect(agent, { depth: 9, showHidden: true }),
    JSON.stringify(agent.stats()),
    inspect(explain(request)),
  ]
  for (const said of shown) assert.ok(!/cret|us%20er|us er/.test(said), said)
})

test('SOCKS4 has users: the proxy is told', async (scope) => {
  const proxy = await socksProxy(scope)
  const target = await plainTarget(scope)
  const agent = plainAgent(scope, { proxy: `socks4a://someone@127.0.0.1:${proxy.port}` })
  await send({ host: 'localhost', port: target.port, agent })
  assert.deepStrictEqual(proxy.asked, [[4, 'localhost', target.port, 'someone']])
})

test('each origin has tunnels of its own, and other credentials have others', async (scope) => {
  const proxy = await socksProxy(scope)
  const [one, other] = [await plainTarget(scope), await plainTarget(scope)]
  const url = `socks4a://a@127.0.0.1:${proxy.port}`
  const agent = plainAgent(scope, { proxy: url, shared: true })
  const sibling = plainAgent(scope, { proxy: url.replace('a@', 'b@'), shared: true })
  for (const port of [one.port, other.port, one.port]) await send({ host: 'localhost', port, agent })
  await send({ host: 'localhost', port: one.port, agent: sibling })
  assert.deepStrictEqual(
    proxy.asked.map(([, , port, user]) => [port, user]),
    [
      [one.port, 'a'],
      [other.port, 'a'],
      [one.port, 'b'],
    ],
  )
})

test('a `lookup` is asked for the target if the proxy wants an address, else for the proxy', async (scope) => {
  const proxy = await socksProxy(scope)
  const target = await plainTarget(scope)
  const asked = []
  const lookup = (name, options, done) => {
    asked.push(name)
    if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
    else done(null, '127.0.0.1', 4)
  }
  for (const [url, host] of [
    [`socks5://localhost:${proxy.port}`, 'target.invalid'],
    [`socks5://proxy.invalid:${proxy.port}`, '127.0.0.1'],
    [`socks5h://proxy.invalid:${proxy.port}`, 'target.invalid'],
  ]) {
    const { status } = await send({ host, port: target.port, agent: plainAgent(scope, { proxy: url, lookup }) })
    assert.strictEqual(status, 200)
  }
  assert.deepStrictEqual(asked, ['target.invalid', 'proxy.invalid', 'proxy.invalid'])
  assert.deepStrictEqual(
    proxy.asked.map(([, host]) => host),
    ['127.0.0.1', '127.0.0.1', 'target.invalid'],
  )
})

const REFUSALS = [
  [5, 1, 'request rejected or failed'],
  [5, 2, 'connection not allowed by ruleset'],
  [5, 4, 'host unreachable'],
  [5, 5, 'connection refused'],
  [4, 91, 'request rejected or failed'],
]

test('a refusal is ERR_PROXY_TUNNEL, with the proxy’s words', async (scope) => {
  const target = await plainTarget(scope)
  for (const [version, reply, words] of REFUSALS) {
    const proxy = await socksProxy(scope, { reply })
    const url = `socks${version === 4 ? '4a' : '5h'}://127.0.0.1:${proxy.port}`
    const agent = plainAgent(scope, { proxy: url })
    const error = await failure(send({ host: 'localhost', port: target.port, agent, method: 'POST' }, 'body'))
    assert.strictEqual(error.code, 'ERR_PROXY_TUNNEL')
    assert.strictEqual(error.message, `Failed to establish tunnel to localhost:${target.port} via ${url}: ${words}`)
    assert.deepStrictEqual(agent.stats().proxies[url].refused, { [words]: 1 })
  }
  assert.strictEqual(target.connections, 0)
})

test('who is not let in hears of it, and nobody of the password', async (scope) => {
  const proxy = await socksProxy(scope, { user: 'user', password: 'pass' })
  const target = await plainTarget(scope)
  for (const [login, words] of [
    ['user:hush@', 'authentication failed'],
    ['', 'authentication required'],
  ]) {
    const agent = plainAgent(scope, { proxy: `socks5h://${login}127.0.0.1:${proxy.port}` })
    const error = await failure(send({ host: 'localhost', port: target.port, agent }))
    assert.strictEqual(error.code, 'ERR_PROXY_TUNNEL')
    assert.ok(error.message.endsWith(words) && !error.message.includes('hush'), error.message)
  }
  assert.strictEqual(target.connections, 0)
})

test('a proxy that ends, or speaks something else, is no SOCKS proxy', async (scope) => {
  const target = await plainTarget(scope)
  for (const [onConnection, words] of [
    [(socket) => (socket.end(), true), /ended unexpectedly|ECONNRESET|EPIPE/],
    [(socket) => (socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), true), /it is no SOCKS proxy$/],
  ]) {
    const proxy = await socksProxy(scope, { onConnection })
    const agent = plainAgent(scope, { proxy: `socks5h://127.0.0.1:${proxy.port}` })
    const error = await failure(send({ host: 'localhost', port: target.port, agent }))
    assert.match(error.message, words)
  }
  assert.strictEqual(target.connections, 0)
})

test('a proxy that says nothing is given connectTimeout, and the error says what was awaited', async (scope) => {
  const target = await plainTarget(scope)
  const proxy = await socksProxy(scope, { onConnection: () => true })
  const url = `socks5h://127.0.0.1:${proxy.port}`
  const agent = plainAgent(scope, { proxy: url, connectTimeout: 50 })
  const error = await failure(send({ host: 'localhost', port: target.port, agent }))
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_CONNECT_TIMEOUT')
  assert.ok(error.message.includes(`via ${url}`), error.message)
  assert.match(error.message, /the SOCKS proxy has not answered$/)
  assert.deepStrictEqual(agent.stats().proxies[url].errors, { ERR_KEEPWIRE_CONNECT_TIMEOUT: 1 })
  assert.strictEqual(target.connections, 0)
})

test('bytes of the proxy’s own in front of TLS fail the request', async (scope) => {
  const { root, server } = await authority
  const target = await secureServer(scope, server, {}, (_req, res) => res.end('ok'))
  const proxy = await socksProxy(scope, { early: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, proxy: `socks5h://127.0.0.1:${proxy.port}` }))
  const error = await failure(send({ host: 'localhost', port: target.port, agent, method: 'POST' }, 'body'))
  assert.ok(error instanceof Error && error.code !== undefined, String(error))
})

test('a tunnel that was cut while idle is replaced', async (scope) => {
  const proxy = await socksProxy(scope)
  const target = await plainTarget(scope)
  const agent = plainAgent(scope, { proxy: `socks5h://127.0.0.1:${proxy.port}` })
  for (let at = 0; at < 3; at++) {
    assert.strictEqual((await send({ host: 'localhost', port: target.port, agent })).status, 200)
    proxy.cut()
  }
  assert.strictEqual(proxy.asked.length, 3)
})

test('a URL that says what SOCKS has no place for is refused', () => {
  for (const proxy of [
    'socks4://user:hush@localhost',
    'socks5://user@localhost',
    'socks5://:hush@localhost',
    `socks5://user:${'hush'.repeat(64)}@localhost`,
    'socks4://hu%00sh@localhost',
    'socks5://',
  ]) {
    assertRefused({ proxy }, 'ERR_PROXY_INVALID_CONFIG')
  }
  assertRefused({ proxy: 'socks5://localhost', proxyHeaders: { a: 'b' } }, 'ERR_INVALID_ARG_VALUE')
  assertRefused({ proxy: 'socks5://localhost', proxyTls: {} }, 'ERR_INVALID_ARG_VALUE')
  assert.strictEqual(String(new HttpsAgent({ proxy: 'socks5://LOCALHOST' }).options.proxy), 'socks5://localhost')
})
