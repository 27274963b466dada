'use strict'

// http through HTTP proxies: requests in absolute form over connections to the proxy.

const assert = require('node:assert')
const http = require('node:http')

const { plainAgent, plainTarget } = require('../support/behind-proxy')
const { send } = require('../support/client')
const { scriptedProxy } = require('../support/proxy')
const { hasSquid, startSquid } = require('../support/squid')
const { test } = require('../support/suite')
const { until } = require('../support/wait')
const { Agent, fetch } = require('../..')

function echo(request, response) {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const text = JSON.stringify([request.method, request.url, request.rawHeaders, `${Buffer.concat(chunks)}`])
    response.setHeader('Content-Length', text.length)
    response.end(text)
  })
}

const server = (scope) => plainTarget(scope, echo)

const skip = hasSquid ? false : 'squid is not installed'

test('300 requests through squid share one connection to it', { skip }, async (scope) => {
  const squid = await startSquid(scope, { user: 'user', password: 'pass' })
  const target = await server(scope)
  const agent = plainAgent(scope, { proxy: `http://user:pass@127.0.0.1:${squid.port}` })
  for (let at = 0; at < 300; at++) {
    const { status, body } = await send({ port: target.port, agent, path: `/${at}` })
    assert.strictEqual(status, 200)
    assert.ok(!`${body}`.includes('dXNlcjpwYXNz'), 'credentials stay with the proxy')
  }
  await until(() => squid.log().length >= 300, 'squid has logged all')
  assert.strictEqual(new Set(squid.log().map(([, , , port]) => port)).size, 1)
})

test('a request names its target in absolute form, and brings the proxy its credentials', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const target = await server(scope)
  const agent = plainAgent(scope, {
    proxy: proxy.url.replace('//', '//user:pass@'),
    proxyHeaders: { 'X-Tenant': 'seven' },
  })
  const { body, request } = await send({ port: target.port, agent, path: '/a?b', headers: { 'X-Own': '1' } })
  const place = `127.0.0.1:${target.port}`
  assert.deepStrictEqual(proxy.heads, [
    `GET http://${place}/a?b HTTP/1.1\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\nX-Tenant: seven\r\n` +
      `X-Own: 1\r\nHost: ${place}\r\nConnection: keep-alive\r\n\r\n`,
  ])
  assert.ok(!`${body}`.includes('dXNlcjpwYXNz'))
  assert.deepStrictEqual([request.path, request.getHeader('proxy-authorization')], ['/a?b', undefined])
})

test('every way of requesting goes through the proxy', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const target = await server(scope)
  const agent = plainAgent(scope, { proxy: proxy.url })
  const url = `http://127.0.0.1:${target.port}/`
  await send({ port: target.port, agent })
  const response = await fetch(url, { agent })
  await response.text()
  await new Promise((resolve, reject) => {
    require('../..')
      .http.get(url, { agent }, (res) => res.resume().on('end', resolve))
      .on('error', reject)
  })
  assert.deepStrictEqual(
    proxy.heads.map((head) => head.split('\r\n', 1)[0]),
    Array.from({ length: 3 }, () => `GET ${url} HTTP/1.1`),
  )
  assert.strictEqual(proxy.accepted.connections, 1)
})

test('bodies arrive whole, in one piece and in many', { skip }, async (scope) => {
  const squid = await startSquid(scope)
  const target = await server(scope)
  const agent = plainAgent(scope, { proxy: `http://127.0.0.1:${squid.port}` })
  for (const size of [0, 10, 100_000]) {
    const text = 'x'.repeat(size)
    const { body } = await send({ port: target.port, agent, method: 'POST', headers: { 'Content-Length': size } }, text)
    assert.strictEqual(JSON.parse(`${body}`)[3].length, size)
  }
  const written = []
  const answer = await new Promise((resolve, reject) => {
    const request = http.request({ port: target.port, host: '127.0.0.1', agent, method: 'PUT' }, (response) => {
      let body = ''
      response.on('data', (chunk) => (body += chunk)).on('end', () => resolve(body))
    })
    request.on('error', reject)
    request.write('one ', () => {
      written.push('one')
      request.write('two ', () => {
        written.push('two')
        request.end('three')
      })
    })
  })
  assert.deepStrictEqual([JSON.parse(answer)[3], written], ['one two three', ['one', 'two']])
})

test('a connection that the proxy has closed is replaced, and the request is whole', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const target = await server(scope)
  const agent = plainAgent(scope, { proxy: proxy.url })
  for (let at = 0; at < 3; at++) {
    const { body } = await send({ port: target.port, agent, path: `/${at}` })
    assert.strictEqual(JSON.parse(`${body}`)[1], `/${at}`)
    proxy.cut()
  }
  assert.deepStrictEqual([proxy.heads.length, proxy.accepted.connections], [3, 3])
})

test('a proxy’s own answer is the response', async (scope) => {
  const proxy = await scriptedProxy(scope, {
    onHead: (_head, socket) => (
      socket.write('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'), true
    ),
  })
  const target = await server(scope)
  const { status, headers } = await send({ port: target.port, agent: plainAgent(scope, { proxy: proxy.url }) })
  assert.deepStrictEqual([status, headers['proxy-authenticate']], [407, 'Basic realm="x"'])
  assert.strictEqual(target.connections, 0)
})

test('what only the runtime’s sockets could carry fails: it would go past the proxy', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const target = await server(scope)
  const agent = plainAgent(scope, { proxy: proxy.url })
  await assert.rejects(send({ port: target.port, agent, headers: { Connection: 'Upgrade', Upgrade: 'x' } }), {
    code: 'ERR_KEEPWIRE_PROXY_UNSUPPORTED',
  })
  assert.deepStrictEqual([target.connections, proxy.heads.length], [0, 0])
})

test('an agent’s proxy is what it was constructed with', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const agent = plainAgent(scope, { proxy: proxy.url })
  agent.options.proxy = undefined
  const target = await server(scope)
  await assert.rejects(async () => send({ port: target.port, agent }), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.strictEqual(target.connections, 0)
  assert.ok(new Agent({ proxy: new URL('http://localhost:3128') }).options.proxy.name === 'http://localhost:3128')
})

test('connections to one proxy serve all origins, and limits count for each of them', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const targets = []
  for (let at = 0; at < 20; at++) targets.push(await server(scope))
  const agent = plainAgent(scope, { proxy: proxy.url, maxSockets: 1 })
  for (let round = 0; round < 2; round++) {
    for (const { port } of targets) {
      const { body } = await send({ port, agent })
      assert.ok(`${body}`.includes(`127.0.0.1:${port}`), 'each is asked for what it has')
    }
  }
  assert.deepStrictEqual([proxy.accepted.connections, proxy.heads.length], [1, 40])
  await Promise.all(targets.slice(0, 3).flatMap(({ port }) => [send({ port, agent }), send({ port, agent })]))
  assert.strictEqual(proxy.accepted.connections, 3, 'one for each origin that is asked at the same time')
})

test('a limit for all origins together costs no connection to the proxy', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const targets = []
  for (let at = 0; at < 5; at++) targets.push(await server(scope))
  const agent = plainAgent(scope, { proxy: proxy.url, maxTotalSockets: 1 })
  const ask = async ({ port }) => assert.strictEqual((await send({ port, agent })).status, 200)
  for (const target of targets) await ask(target)
  assert.strictEqual(proxy.accepted.connections, 1)
  await Promise.all([...targets, ...targets, ...targets].map(ask))
  assert.deepStrictEqual([proxy.accepted.connections, proxy.heads.length], [1, 20])
})

test('what goes from another local address, or is another agent’s, is another connection', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const [one, other] = [await server(scope), await server(scope)]
  const agent = plainAgent(scope, { proxy: proxy.url })
  await send({ port: one.port, agent })
  await send({ port: other.port, agent, localAddress: '127.0.0.1' })
  await send({ port: other.port, agent: plainAgent(scope, { proxy: proxy.url }) })
  assert.strictEqual(proxy.accepted.connections, 3)
})

test('a connection on which somebody has proved who they are by NTLM or Negotiate serves no other origin', async (scope) => {
  const proxy = await scriptedProxy(scope)
  const [one, other] = [await server(scope), await server(scope)]
  for (const headers of [{ Authorization: 'NTLM abc' }, { Authorization: 'Negotiate abc' }]) {
    const agent = plainAgent(scope, { proxy: proxy.url })
    const before = proxy.accepted.connections
    await send({ port: one.port, agent, headers })
    await send({ port: other.port, agent })
    assert.strictEqual(proxy.accepted.connections, before + 2)
  }
})
