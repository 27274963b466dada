'use strict'

// Which proxy a request goes through: an agent's, one that a function gives, one of the request's own, one of the environment's.

const assert = require('node:assert')
const http = require('node:http')

const { plainAgent, plainTarget } = require('../support/behind-proxy')
const { failure, send } = require('../support/client')
const { authority } = require('../support/http2')
const { freePort } = require('../support/ports')
const { scriptedProxy } = require('../support/proxy')
const { SecureAgent, secureServer } = require('../support/secure')
const { socksProxy } = require('../support/socks')
const { test } = require('../support/suite')
const { explain, fetch, http: stand } = require('../..')

/** Two proxies, and a target that tells whether it was reached past them. */
async function setUp(scope) {
  const [one, other, target] = [await scriptedProxy(scope), await scriptedProxy(scope), await plainTarget(scope)]
  return { one, other, target, url: `http://127.0.0.1:${target.port}/` }
}

for (const [how, wrap] of [
  ['at once', (value) => value],
  ['later', async (value) => value],
]) {
  test(`a function says ${how} what each request goes through`, async (scope) => {
    const { one, other, target } = await setUp(scope)
    const asked = []
    const answers = [one.url, new URL(other.url), null, undefined, one.url]
    const agent = plainAgent(scope, {
      proxy: (url) => {
        asked.push(url)
        return wrap(answers[asked.length - 1])
      },
    })
    for (let at = 0; at < answers.length; at++) {
      const { status, request } = await send({ port: target.port, agent, path: `/${at}` })
      assert.strictEqual(status, 200)
      assert.strictEqual(explain(request).proxy, [one.url, other.url, undefined, undefined, one.url][at])
    }
    assert.deepStrictEqual([one.heads.length, other.heads.length], [2, 1])
    assert.deepStrictEqual([one.accepted.connections, other.accepted.connections], [1, 1])
    assert.ok(asked.every((url, at) => url instanceof URL && url.href === `http://127.0.0.1:${target.port}/${at}`))
  })
}

test('fetch asks it, too, and so does our own http.request', async (scope) => {
  const { one, url } = await setUp(scope)
  for (const wrap of [(value) => value, async (value) => value]) {
    const agent = plainAgent(scope, { proxy: () => wrap(one.url) })
    assert.strictEqual(await (await fetch(url, { agent })).text(), 'ok')
    await new Promise((resolve, reject) => {
      stand.get(url, { agent }, (res) => res.resume().on('end', resolve)).on('error', reject)
    })
  }
  assert.strictEqual(one.heads.length, 4)
})

test('what it throws, or rejects with, is the request’s error; an answer that is no proxy fails as the option would', async (scope) => {
  const { target, url } = await setUp(scope)
  const none = new Error('none left')
  for (const [proxy, expected] of [
    [
      () => {
        throw none
      },
      none,
    ],
    [
      async () => {
        throw none
      },
      none,
    ],
    [() => 'ftp://localhost', { code: 'ERR_PROXY_INVALID_CONFIG' }],
    [async () => 5, { code: 'ERR_INVALID_ARG_TYPE' }],
  ]) {
    const agent = plainAgent(scope, { proxy })
    const [error, fetched] = [await failure(send({ port: target.port, agent })), await failure(fetch(url, { agent }))]
    for (const told of [error, fetched.cause]) {
      if (expected instanceof Error) assert.strictEqual(told, expected)
      else assert.strictEqual(told.code, expected.code)
    }
  }
  assert.strictEqual(target.connections, 0)
})

test('an abort ends the wait for a proxy', async (scope) => {
  const { target, url } = await setUp(scope)
  let give
  const agent = plainAgent(scope, { proxy: () => new Promise((resolve) => (give = resolve)) })
  const request = http.get({ host: '127.0.0.1', port: target.port, agent })
  const events = []
  for (const name of ['error', 'close', 'response']) request.on(name, () => events.push(name))
  request.destroy()
  await new Promise((resolve) => request.on('close', resolve))
  give(null)
  const controller = new AbortController()
  const fetched = failure(fetch(url, { agent, signal: controller.signal }))
  controller.abort()
  assert.strictEqual((await fetched).name, 'AbortError')
  give(null)
  await new Promise(setImmediate)
  assert.deepStrictEqual([events, target.connections], [['error', 'close'], 0])
})

test('who waits for a proxy has its timeouts', async (scope) => {
  const { target } = await setUp(scope)
  const never = () => new Promise(() => {})
  for (const [options, own, later] of [
    [{ timeout: 20 }, {}, 0],
    [{}, { timeout: 20 }, 0],
    [{}, {}, 20],
  ]) {
    for (const { get } of [http, stand]) {
      const agent = plainAgent(scope, { proxy: never, ...options })
      const request = get({ host: '127.0.0.1', port: target.port, agent, ...own })
      if (later > 0) request.setTimeout(later)
      // Nothing else keeps this process alive.
      const alive = setInterval(() => {}, 1000)
      await new Promise((resolve) => request.on('timeout', resolve))
      clearInterval(alive)
      request.destroy(new Error('late'))
      assert.strictEqual((await new Promise((resolve) => request.on('error', resolve))).message, 'late')
    }
  }
})

test('whoever gives proxies is told which one has failed, before the request is, and may give another next time', async (scope) => {
  const { other, target, url } = await setUp(scope)
  const refusing = await scriptedProxy(scope, {
    onHead: (_head, socket) => (socket.end('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'), true),
  })
  const { root, server } = await authority
  const secure = await secureServer(scope, server, {}, (_req, res) => res.end('ok'))
  const gone = { url: `http://127.0.0.1:${await freePort()}` }
  const pool = [gone.url.replace('//', '//user:pass@'), refusing.url, other.url]
  const told = []
  const options = {
    proxy: () => pool[0],
    onProxyError: (error, proxy) => {
      told.push([error.code, proxy.href])
      assert.ok(proxy instanceof URL)
      pool.shift()
    },
  }
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, ...options }))
  const ask = () => send({ host: 'localhost', port: secure.port, agent })
  const failures = [await failure(ask()), await failure(ask())]
  assert.strictEqual((await ask()).status, 200)
  assert.deepStrictEqual(
    failures.map(({ code }) => code),
    ['ECONNREFUSED', 'ERR_PROXY_TUNNEL'],
  )
  assert.deepStrictEqual(told, [
    ['ECONNREFUSED', `${gone.url.replace('//', '//user:pass@')}/`],
    ['ERR_PROXY_TUNNEL', `${refusing.url}/`],
  ])
  pool.unshift(gone.url)
  const plain = plainAgent(scope, options)
  const error = await failure(fetch(url, { agent: plain }))
  assert.strictEqual(error.cause.code, 'ECONNREFUSED')
  assert.strictEqual(told.length, 3)
  // A target that fails is no fault of a proxy's.
  const lost = await failure(
    send({ host: 'localhost', port: secure.port, agent: scope.adopt(new SecureAgent(options)) }),
  )
  assert.ok(/CERT|SELF_SIGNED|UNABLE/.test(lost.code), lost.code)
  assert.strictEqual(told.length, 3)
  assert.strictEqual(target.connections, 0)
})

test('a request’s own proxy stands above its agent’s, and neither’s connections serve the other', async (scope) => {
  const { one, other, target, url } = await setUp(scope)
  const agent = plainAgent(scope, { proxy: one.url })
  const ask = async (options) => assert.strictEqual((await send({ port: target.port, agent, ...options })).status, 200)
  await ask({})
  await ask({ proxy: other.url })
  await ask({ proxy: new URL(other.url) })
  await ask({ proxy: () => other.url })
  assert.deepStrictEqual([one.heads.length, other.heads.length, other.accepted.connections], [1, 3, 1])
  const before = target.connections
  await ask({ proxy: () => null })
  assert.deepStrictEqual([one.heads.length, other.heads.length, target.connections], [1, 3, before + 1], 'straight')
  // What other clients have there must not lead past the agent's.
  for (const proxy of [null, undefined, false, '', { href: other.url }]) await ask({ proxy })
  assert.strictEqual(one.heads.length, 6)
  assert.strictEqual(await (await fetch(url, { agent, proxy: other.url })).text(), 'ok')
  assert.strictEqual(other.heads.length, 4)
})

test('a fetch has a proxy without an agent, with what is for the proxy alone', async (scope) => {
  const { one, url } = await setUp(scope)
  const proxy = one.url.replace('//', '//user:pass@')
  for (let at = 0; at < 3; at++) {
    const response = await fetch(url, { proxy, proxyHeaders: { 'X-Tenant': 'seven' } })
    assert.strictEqual(await response.text(), 'ok')
  }
  assert.strictEqual(one.accepted.connections, 1)
  assert.match(one.heads[0], /^GET http:.*\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\nX-Tenant: seven\r\n/)
  const socks = await socksProxy(scope)
  assert.strictEqual(await (await fetch(url, { proxy: `socks5://127.0.0.1:${socks.port}` })).text(), 'ok')
  assert.strictEqual(socks.asked.length, 1)
  await assert.rejects(
    fetch(url, { proxy: 'ftp://localhost' }),
    (error) => (error.cause ?? error).code === 'ERR_PROXY_INVALID_CONFIG',
  )
  await assert.rejects(fetch(url, { proxyHeaders: {} }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('proxyEnv has Node’s meaning', async (scope) => {
  const { one, other, target } = await setUp(scope)
  const through = async (env, host = '127.0.0.1') => {
    const [before, past] = [one.heads.length, other.heads.length]
    const lookup = (_name, options, done) =>
      options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
    const { status } = await send({ host, port: target.port, agent: plainAgent(scope, { proxyEnv: env, lookup }) })
    assert.strictEqual(status, 200, JSON.stringify(env))
    return one.heads.length > before ? 'one' : other.heads.length > past ? 'other' : 'none'
  }
  const http_proxy = one.url
  for (const [env, expected, host] of [
    [{}, 'none'],
    [{ http_proxy }, 'one'],
    [{ HTTP_PROXY: one.url }, 'one'],
    [{ http_proxy: other.url, HTTP_PROXY: one.url }, 'other'],
    [{ https_proxy: one.url, HTTPS_PROXY: one.url, ALL_PROXY: one.url }, 'none'],
    [{ http_proxy: `socks5://127.0.0.1:${one.port}` }, 'none'],
    [{ http_proxy, no_proxy: '*' }, 'none'],
    [{ http_proxy, no_proxy: 'a.test, 127.0.0.1' }, 'none'],
    [{ http_proxy, NO_PROXY: '127.0.0.1' }, 'none'],
    [{ http_proxy, no_proxy: 'a.test', NO_PROXY: '*' }, 'one'],
    [{ http_proxy, no_proxy: `127.0.0.1:${target.port}` }, 'none'],
    [{ http_proxy, no_proxy: '127.0.0.1:1' }, 'one'],
    [{ http_proxy, no_proxy: '127.0.0.0-127.0.0.9' }, 'none'],
    [{ http_proxy, no_proxy: '127.0.0.2-127.0.0.9' }, 'one'],
    [{ http_proxy, no_proxy: '127.0.0.0/8' }, 'one'],
    [{ http_proxy, no_proxy: '.example.test' }, 'none', 'a.example.test'],
    [{ http_proxy, no_proxy: '.example.test' }, 'none', 'EXAMPLE.test'],
    [{ http_proxy, no_proxy: '*.example.test' }, 'none', 'a.example.test'],
    [{ http_proxy, no_proxy: '*.example.test' }, 'one', 'example.test'],
    [{ http_proxy, no_proxy: 'example.test' }, 'one', 'a.example.test'],
    [{ http_proxy, no_proxy: '.ample.test' }, 'one', 'example.test'],
  ]) {
    // A scripted proxy connects to 127.0.0.1 whatever it is asked for.
    assert.strictEqual(await through(env, host), expected, JSON.stringify([env, host]))
  }
})

test('https goes through what proxyEnv names for it, by one tunnel', async (scope) => {
  const { one, other } = await setUp(scope)
  const { root, server } = await authority
  const target = await secureServer(scope, server, { keepAliveTimeout: 60_000 }, (_req, res) => res.end('ok'))
  const proxyEnv = { http_proxy: other.url, HTTPS_PROXY: one.url.replace('//', '//user:pass@') }
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxyEnv }))
  for (let at = 0; at < 10; at++) {
    const { request, status } = await send({ host: 'localhost', port: target.port, agent })
    assert.deepStrictEqual([status, explain(request).carriedBy, explain(request).proxy], [200, 'keepwire', one.url])
  }
  assert.strictEqual(await (await fetch(`https://localhost:${target.port}/`, { agent })).text(), 'ok')
  assert.deepStrictEqual([one.heads.length, other.heads.length, target.connections], [1, 0, 1])
  assert.match(one.heads[0], /\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n/)
})

test('an environment that makes no sense is refused by the constructor', (scope) => {
  for (const http_proxy of ['http://user:hush@:', 'http://a b', 'http://localhost\r\n']) {
    assert.throws(
      () => plainAgent(scope, { proxyEnv: { http_proxy } }),
      (error) => error instanceof Error,
    )
  }
  plainAgent(scope, { proxyEnv: null })
})
