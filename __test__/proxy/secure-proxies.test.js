'use strict'

// Proxies that are reached by TLS themselves: TLS within TLS for https, absolute form within TLS for http.

const assert = require('node:assert')
const tls = require('node:tls')
const http = require('node:http')
const https = require('node:https')

const { makeAuthority } = require('../support/authority')
const { certificate, EXTENSIONS, GENERAL, keyOf, nameOf } = require('../support/der-certificates')
const { http2Server, authority } = require('../support/http2')
const { scriptedProxy } = require('../support/proxy')
const { agentUnderTest, isNode } = require('../support/runtime')
const { listen, plainServer, SecureAgent, secureServer } = require('../support/secure')
const { test } = require('../support/suite')
const { HttpsAgent } = require('../..')

const PlainAgent = agentUnderTest('http')

/** Whom proxies prove to be: not by whom targets do. */
const proxies = makeAuthority()

function echo(request, response) {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => response.end(Buffer.concat(chunks)))
}

/** A proxy, a target, and an agent that goes from one to the other. */
async function setUp(scope, options = {}) {
  const [{ root, server }, own] = await Promise.all([authority, proxies])
  const proxy = await scriptedProxy(scope, { identity: own.server })
  const target = await secureServer(scope, server, {}, echo)
  const proxyTls = { ca: own.root.pem }
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxy: proxy.url, proxyTls, ...options }))
  return { agent, proxy, target, ask: (given, body) => ask({ port: target.port, agent, ...given }, body) }
}

/** @returns {Promise<any>} what a request comes to */
function ask(options, body, { request: start } = https) {
  return new Promise((resolve) => {
    const request = start({ host: 'localhost', ...options }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', (error) => resolve({ error }))
      response.on('end', () => resolve({ status: response.statusCode, text: `${Buffer.concat(chunks)}` }))
    })
    request.on('error', (error) => resolve({ error }))
    request.end(body)
  })
}

test('requests, one after another, share a tunnel within TLS', async (scope) => {
  const { ask, proxy, target } = await setUp(scope)
  for (let at = 0; at < 50; at++) {
    const { error, text } = await ask({ method: 'POST' }, `body ${at}`)
    assert.deepStrictEqual([error, text], [undefined, `body ${at}`])
  }
  assert.deepStrictEqual([proxy.heads.length, proxy.accepted.handshakes, target.connections], [1, 1, 1])
})

test('large bodies come through both layers as they are', async (scope) => {
  const { ask } = await setUp(scope)
  const body = Array.from({ length: 200_000 }, (_, at) => at.toString(36)).join()
  for (let at = 0; at < 3; at++) {
    const { error, text } = await ask({ method: 'POST' }, body)
    assert.strictEqual(error, undefined)
    assert.ok(text === body, `${text.length} bytes`)
  }
})

test('a tunnel that dies idle is replaced, a POST included', async (scope) => {
  const { ask, proxy, target } = await setUp(scope)
  for (const method of ['GET', 'POST', 'GET']) {
    const { error } = await ask({ method })
    assert.strictEqual(error, undefined)
    proxy.cut()
  }
  assert.deepStrictEqual([proxy.heads.length, target.connections], [3, 3])
})

test('http goes in absolute form within TLS', async (scope) => {
  const own = await proxies
  const proxy = await scriptedProxy(scope, { identity: own.server })
  const target = await listen(scope, http.createServer(echo))
  const agent = scope.adopt(new PlainAgent({ keepAlive: true, proxy: proxy.url, proxyTls: { ca: own.root.pem } }))
  for (let at = 0; at < 3; at++) {
    const { error, status } = await ask({ host: '127.0.0.1', port: target.port, agent }, undefined, http)
    assert.deepStrictEqual([error, status], [undefined, 200])
  }
  assert.match(proxy.heads[0], new RegExp(`^GET http://127\\.0\\.0\\.1:${target.port}/ HTTP/1\\.1\r\n`))
  assert.strictEqual(proxy.accepted.connections, 1)
})

test('HTTP/2 goes through one tunnel within TLS', async (scope) => {
  const [{ root }, own] = await Promise.all([authority, proxies])
  const proxy = await scriptedProxy(scope, { identity: own.server })
  const served = await http2Server(scope, { onRequest: (_request, response) => response.end('ok') })
  const options = { ca: root.pem, keepAlive: true, http2: true, proxy: proxy.url, proxyTls: { ca: own.root.pem } }
  const agent = scope.adopt(new SecureAgent(options))
  const all = await Promise.all(Array.from({ length: 20 }, () => ask({ port: served.port, agent })))
  assert.deepStrictEqual(
    all.filter(({ status }) => status !== 200),
    [],
  )
  assert.deepStrictEqual([proxy.heads.length, served.counts.streams], [1, 20])
})

test('a proxy that nobody trusts, or that is another, is told nothing', async (scope) => {
  const { root } = await authority
  for (const [proxyTls, code] of [
    [{ ca: root.pem }, /CERT|ISSUER|VERIFY/],
    [{ ca: (await proxies).root.pem, servername: 'elsewhere.test' }, /^ERR_TLS_CERT_ALTNAME_INVALID$/],
  ]) {
    const { ask, proxy, target } = await setUp(scope, { proxyTls })
    const { error } = await ask({})
    assert.match(error.code, code)
    assert.deepStrictEqual([proxy.heads.length, target.connections], [0, 0])
  }
  const { ask } = await setUp(scope, { proxyTls: { rejectUnauthorized: false } })
  assert.strictEqual((await ask({})).status, 200, 'unless the program says so')
})

test('who has put something in the place of tls.checkServerIdentity hears that nobody asks it about proxies', async (scope) => {
  const { checkServerIdentity } = tls
  scope.defer(() => (tls.checkServerIdentity = checkServerIdentity))
  tls.checkServerIdentity = (...values) => checkServerIdentity(...values)
  const { ask, proxy, target } = await setUp(scope)
  const { error } = await ask({})
  assert.strictEqual(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
  assert.match(
    error.message,
    /^Nobody can ask the tls\.checkServerIdentity of this program about .* https:\/\/localhost:\d+$/,
  )
  assert.deepStrictEqual([proxy.heads.length, target.connections], [0, 0])
})

test('who is trusted as a proxy is not trusted as a target', async (scope) => {
  const { ask, proxy } = await setUp(scope, { ca: (await proxies).root.pem })
  const { error } = await ask({})
  assert.match(error.code, /CERT|ISSUER|VERIFY/)
  assert.strictEqual(proxy.heads.length, 1)
})

test('a proxy that does not speak TLS fails the request', async (scope) => {
  const plain = await plainServer(scope, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  )
  const { ask, target } = await setUp(scope, { proxy: `https://localhost:${plain.port}` })
  const { error } = await ask({})
  assert.match(error.code, /^(?:EPROTO|ERR_SSL_WRONG_VERSION_NUMBER)$/)
  assert.strictEqual(target.connections, 0)
})

test('settings that only the runtime’s TLS has are refused by the constructor', () => {
  const proxy = 'https://localhost'
  const refused = (options, code) => assert.throws(() => new HttpsAgent(options), { code })
  refused({ proxy, proxyTls: 5 }, 'ERR_INVALID_ARG_TYPE')
  refused({ proxy, proxyTls: { pfx: Buffer.alloc(1) } }, 'ERR_INVALID_ARG_VALUE')
  refused({ proxy, proxyTls: { checkServerIdentity() {} } }, 'ERR_INVALID_ARG_VALUE')
  refused({ proxy: 'http://localhost', proxyTls: {} }, 'ERR_INVALID_ARG_VALUE')
  refused({ proxyTls: {} }, 'ERR_INVALID_ARG_VALUE')
})

/** How a proxy's certificate names it, and whether that is the proxy's name, `localhost`. */
const SUBJECTS = [
  { names: ['localhost'], isIts: true },
  { names: ['LOCALHOST'], isIts: true },
  { names: ['elsewhere', 'localhost'], isIts: true },
  { names: ['elsewhere'], isIts: false },
  { names: ['localhost.elsewhere'], isIts: false },
  { names: ['*'], isIts: false },
  { names: ['*host'], isIts: false },
  { names: ['localhost'], others: [GENERAL.dns('elsewhere')], isIts: false },
  { names: ['localhost'], others: [GENERAL.ip(127, 0, 0, 9)], isIts: true },
]

for (const { names, others, isIts } of SUBJECTS) {
  const beside = others === undefined ? '' : ', beside alternative names of another kind or host'
  const said = `a proxy whose certificate has the common names ${names.join(' and ')}${beside}`
  test(`${said}, is ${isIts ? 'meant' : 'another'}`, {
    skip: !isNode && 'others take no common names, or no certificates without extensions',
  }, async (scope) => {
    const subject = nameOf(...names.map((name) => ['CN', name]))
    const extensions = others && [EXTENSIONS.names(others)]
    const made = certificate({ subject, key: keyOf(5), extensions, version: others ? 3 : 1 })
    const proxy = await scriptedProxy(scope, { identity: { pem: made.pem, key: made.key.pem } })
    const { port } = await listen(scope, http.createServer(echo))
    const url = proxy.url.replace('127.0.0.1', 'localhost')
    const agent = scope.adopt(new PlainAgent({ proxy: url, proxyTls: { ca: made.pem } }))
    const { error, status } = await ask({ port, agent }, undefined, http)
    assert.deepStrictEqual(
      [error?.code, status],
      isIts ? [undefined, 200] : ['ERR_TLS_CERT_ALTNAME_INVALID', undefined],
    )
    assert.strictEqual(proxy.heads.length, isIts ? 1 : 0)
  })
}
