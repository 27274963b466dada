'use strict'

// HTTP/2 without TLS, by prior knowledge (RFC 9113, section 3.3): node:http, keepwire/http and fetch over an agent that says so.

const assert = require('node:assert')
const http2 = require('node:http2')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')

const { http2Server, outcome } = require('../support/http2')
const { isBun, isDeno } = require('../support/runtime')
const { listen } = require('../support/secure')
const { test } = require('../support/suite')
const { Agent, explain, fetch, HttpsAgent } = require('../..')
const ours = require('../../lib/http')

const told = (request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const { headers, httpVersion, method, url } = request
    response.end(JSON.stringify([httpVersion, method, url, headers[':scheme'], Buffer.concat(chunks).toString()]))
  })
}

const clear = (scope, how) => http2Server(scope, { onRequest: told, isClear: true, ...how })
const agentOf = (scope, options) => scope.adopt(new Agent({ keepAlive: true, h2c: true, ...options }))
const rawServer = (scope, onSocket) => listen(scope, net.createServer(onSocket))
const all = (count, what) => Array(count).fill(what)

test('200 requests at once and 100 one after another share one connection', async (scope) => {
  const served = await clear(scope)
  const agent = agentOf(scope)
  const options = { port: served.port, agent }
  const paths = Array.from({ length: 200 }, (_, at) => `/${at}`)
  const outcomes = await Promise.all(paths.map((path) => outcome({ ...options, path, method: 'POST' }, { body: path })))
  assert.deepStrictEqual(
    outcomes.map(({ body, error }) => error?.message ?? JSON.parse(body)),
    paths.map((path) => ['2.0', 'POST', path, 'http', path]),
  )
  for (let at = 0; at < 100; at++) assert.strictEqual((await outcome(options)).reused, true)
  const { httpVersion, request, socket } = await outcome(options)
  assert.deepStrictEqual([httpVersion, socket.alpnProtocol, socket.encrypted], ['2.0', 'h2c', undefined])
  assert.strictEqual(explain(request).carriedBy, 'keepwire')
  assert.deepStrictEqual([served.connections, served.counts.streams], [1, 301])
})

test('keepwire/http and fetch use the same connection', async (scope) => {
  const served = await clear(scope)
  const agent = agentOf(scope)
  const url = `http://127.0.0.1:${served.port}/both`
  const own = () =>
    new Promise((resolve, reject) => {
      const request = ours.get(url, { agent }, (response) => {
        let body = ''
        response.on('data', (chunk) => (body += chunk))
        response.on('end', () => resolve(JSON.parse(body)))
      })
      request.on('error', reject)
    })
  const fetched = async (init) => {
    const response = await fetch(url, { agent, ...init })
    assert.strictEqual(response.statusText, '')
    return response.json()
  }
  const expected = ['2.0', 'GET', '/both', 'http', '']
  assert.deepStrictEqual(await Promise.all([own(), own(), fetched(), fetched()]), all(4, expected))
  const posted = await fetched({ method: 'POST', body: 'text' })
  assert.deepStrictEqual(posted, ['2.0', 'POST', '/both', 'http', 'text'])
  assert.strictEqual(served.connections, 1)
})

test('a burst to a server that takes 2 streams at a time is answered as a whole', async (scope) => {
  const served = await clear(scope, { settings: { maxConcurrentStreams: 2 } })
  const agent = agentOf(scope)
  const outcomes = await Promise.all(Array.from({ length: 60 }, () => outcome({ port: served.port, agent })))
  assert.deepStrictEqual(new Set(outcomes.map(({ httpVersion }) => httpVersion)), new Set(['2.0']))
})

test('a server that answers over HTTP/1 is told from one that breaks the rules, to all that wait for it', async (scope) => {
  const served = await rawServer(scope, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'))
  })
  const agent = agentOf(scope)
  const outcomes = await Promise.all(Array.from({ length: 5 }, () => outcome({ port: served.port, agent })))
  for (const { error } of outcomes) {
    assert.deepStrictEqual([error.code, /does not speak HTTP\/2/.test(error.message)], ['ERR_HTTP2_ERROR', true])
  }
  assert.ok(served.connections < 5, 'they do not fail one after the other')
  await assert.rejects(fetch(`http://localhost:${served.port}/`, { agent }), ({ cause }) => {
    assert.strictEqual(cause.code, 'ERR_HTTP2_ERROR')
    return true
  })
})

test('a server that closes at once fails what waits for it as the runtime would', async (scope) => {
  const served = await rawServer(scope, (socket) => socket.end())
  const { error } = await outcome({ port: served.port, agent: agentOf(scope) })
  assert.strictEqual(error.code, 'ECONNRESET')
})

// What else than pipes it has, Windows calls otherwise.
test('a socket path is a way, too', { skip: process.platform === 'win32' || isDeno || isBun }, async (scope) => {
  const server = http2.createServer(told)
  const socketPath = path.join(os.tmpdir(), `keepwire-h2c-${process.pid}`)
  const sessions = []
  server.on('session', (session) => sessions.push(session))
  await new Promise((resolve) => server.listen(socketPath, resolve))
  scope.defer(() => {
    for (const session of sessions) session.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const agent = agentOf(scope)
  const outcomes = await Promise.all(Array.from({ length: 5 }, () => outcome({ socketPath, agent })))
  for (const { body, error } of outcomes) assert.strictEqual(error?.message ?? JSON.parse(body)[0], '2.0')
  assert.strictEqual(sessions.length, 1)
})

test('without the option nothing changes, and agents with it share connections with none without', async (scope) => {
  const served = await rawServer(scope, (socket) => {
    socket.on('data', (chunk) => {
      assert.match(String(chunk), /^GET \/ HTTP\/1.1\r\n/)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const plain = scope.adopt(new Agent({ keepAlive: true, shared: true }))
  assert.strictEqual((await outcome({ port: served.port, agent: plain })).httpVersion, '1.1')
  const second = await clear(scope)
  const [one, other] = [agentOf(scope, { shared: true }), agentOf(scope, { shared: true })]
  const options = { port: second.port }
  assert.strictEqual((await outcome({ ...options, agent: one })).httpVersion, '2.0')
  const lent = await outcome({ ...options, agent: other })
  assert.deepStrictEqual([lent.httpVersion, lent.reused, lent.socket.alpnProtocol], ['2.0', true, 'h2c'])
  assert.strictEqual(second.connections, 1)
  const { error } = await outcome({ ...options, agent: plain })
  assert.ok(error, 'it opens one of its own, for HTTP/1.1')
  assert.strictEqual(second.connections, 2)
})

test('options that make no sense are refused', () => {
  const refused = (code) => (error) => error.code === code
  assert.throws(() => new Agent({ h2c: 1 }), refused('ERR_INVALID_ARG_TYPE'))
  assert.throws(() => new HttpsAgent({ h2c: true }), refused('ERR_INVALID_ARG_VALUE'))
  assert.throws(() => new Agent({ h2c: true, proxy: 'http://127.0.0.1:1' }), refused('ERR_INVALID_ARG_VALUE'))
  new Agent({ h2c: false })
})
