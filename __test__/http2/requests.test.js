'use strict'

// The runtime's https.request over HTTP/2: what a program sees, and how many connections there are.

const assert = require('node:assert')
const https = require('node:https')

const { authority, http2Agent, http2Server, outcome } = require('../support/http2')
const { listen } = require('../support/secure')
const { test } = require('../support/suite')
const { Agent, explain, HttpsAgent } = require('../..')

const echo = (request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const { method, url, headers, trailers, httpVersion } = request
    const body = Buffer.concat(chunks)
    response.setHeader('content-type', 'application/json')
    response.end(
      JSON.stringify({ method, url, headers, trailers, httpVersion, bytes: body.length, text: `${body}`.slice(0, 64) }),
    )
  })
}
const ok = (_request, response) => response.end('ok')

test('200 requests at once share one connection', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo })
  const agent = await http2Agent(scope)
  const paths = Array.from({ length: 200 }, (_, at) => `/${at}`)
  const outcomes = await Promise.all(paths.map((path) => outcome({ port: served.port, agent, path })))
  const answered = outcomes.map(({ body, error }) => error?.message ?? JSON.parse(body).url)
  assert.deepStrictEqual(answered, paths)
  assert.deepStrictEqual([served.connections, served.counts.streams], [1, 200])
  const [{ created, reused }] = Object.values(agent.stats().origins ?? { only: agent.stats() })
  if (created !== undefined) assert.deepStrictEqual([created, reused], [1, 199])
})

test('300 requests one after another share one connection, POSTs among them', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo })
  const agent = await http2Agent(scope)
  for (let at = 0; at < 300; at++) {
    const body = at % 2 ? 'x'.repeat(at) : undefined
    const method = body === undefined ? 'GET' : 'POST'
    const result = await outcome({ port: served.port, agent, method }, { body })
    assert.strictEqual(result.error, undefined)
    const { bytes } = JSON.parse(result.body)
    assert.deepStrictEqual([bytes, result.reused], [body === undefined ? 0 : at, at > 0])
  }
  assert.strictEqual(served.connections, 1)
})

test('a response says what it would say over HTTP/1.1, but for its version', async (scope) => {
  const onStream = (stream) => {
    stream.respond({ ':status': 404, 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'], 'x-one': '1' })
    stream.end('nothing here')
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope)
  const result = await outcome({ port: served.port, agent })
  assert.deepStrictEqual(
    [result.status, result.statusMessage, result.httpVersion, result.body],
    [404, 'Not Found', '2.0', 'nothing here'],
  )
  assert.deepStrictEqual(result.headers['set-cookie'], ['a=1', 'b=2'])
  const pairs = []
  for (let at = 0; at < result.rawHeaders.length; at += 2) pairs.push(result.rawHeaders.slice(at, at + 2).join(': '))
  const own = pairs.filter((pair) => !pair.startsWith('date'))
  assert.deepStrictEqual(own, ['content-type: text/plain', 'set-cookie: a=1', 'set-cookie: b=2', 'x-one: 1'])
  assert.strictEqual(result.socket.alpnProtocol, 'h2')
})

test('a request says what it would say over HTTP/1.1, but for what is about the connection', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo })
  const agent = await http2Agent(scope)
  const headers = {
    'X-Mixed': 'Case',
    Cookie: 'a=1; b=2',
    TE: 'trailers',
    Connection: 'keep-alive, X-Hop',
    'X-Hop': '1',
  }
  const result = await outcome({ port: served.port, agent, path: '/a?b=c%20d', headers, auth: 'user:word' })
  const { url, headers: seen, httpVersion } = JSON.parse(result.body)
  assert.deepStrictEqual([url, httpVersion], ['/a?b=c%20d', '2.0'])
  assert.strictEqual(seen[':authority'], `localhost:${served.port}`)
  assert.strictEqual(seen[':scheme'], 'https')
  const { connection, cookie, host, te, 'x-hop': hop, 'x-mixed': mixed, authorization } = seen
  assert.deepStrictEqual(
    { connection, cookie, hop, mixed, te, authorization },
    {
      connection: undefined,
      cookie: 'a=1; b=2',
      hop: undefined,
      mixed: 'Case',
      te: 'trailers',
      authorization: `Basic ${Buffer.from('user:word').toString('base64')}`,
    },
  )
  assert.ok(host === undefined || host === seen[':authority'])
})

test('bodies of known length, chunked ones, and their trailers arrive', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  for (const size of [0, 1, 16_383, 65_536, 3_000_000]) {
    const known = await outcome(options, { body: Buffer.alloc(size, 'a') })
    assert.strictEqual(JSON.parse(known.body).bytes, size)
  }
  const chunked = await outcome(options, {
    use(request) {
      request.setHeader('Trailer', 'X-Sum')
      request.write('one ')
      setImmediate(() => {
        request.write(Buffer.alloc(100_000, 'b'))
        request.addTrailers({ 'X-Sum': 'three' })
        request.end('two')
      })
    },
  })
  const { bytes, headers, trailers } = JSON.parse(chunked.body)
  assert.deepStrictEqual([bytes, headers['transfer-encoding'], trailers['x-sum']], [100_007, undefined, 'three'])
  assert.strictEqual(served.connections, 1)
})

test('trailers and informational responses are told', async (scope) => {
  const onStream = (stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a>; rel=preload' })
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', 'x-more': '2' }))
    stream.end('body')
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope)
  const result = await outcome({ port: served.port, agent })
  assert.deepStrictEqual(result.information, [[103, 'link', '</a>; rel=preload']])
  assert.deepStrictEqual([result.body, result.rawTrailers], ['body', ['x-sum', '1', 'x-more', '2']])
})

test('Expect: 100-continue is asked, and answered', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo })
  const agent = await http2Agent(scope)
  const headers = { Expect: '100-continue', 'Content-Length': 5 }
  const result = await outcome(
    { port: served.port, agent, method: 'PUT', headers },
    {
      use(request) {
        request.flushHeaders()
        request.on('continue', () => request.end('12345'))
      },
    },
  )
  assert.ok(result.information.includes('continue'))
  assert.strictEqual(JSON.parse(result.body).bytes, 5)
})

test('HEAD, 204 and 304 have no body', async (scope) => {
  const onRequest = (request, response) => {
    response.statusCode = Number(request.url.slice(1))
    if (response.statusCode === 200) response.setHeader('content-length', 100)
    response.end()
  }
  const served = await http2Server(scope, { onRequest })
  const agent = await http2Agent(scope)
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ]) {
    const result = await outcome({ port: served.port, agent, method, path: `/${status}` })
    assert.deepStrictEqual([result.status, result.body, result.error], [status, '', undefined])
  }
  assert.strictEqual(served.connections, 1)
})

test('a server without HTTP/2 is spoken to over HTTP/1.1, by a connection each', async (scope) => {
  const { server: identity } = await authority
  const arrived = []
  const server = https.createServer({ cert: identity.pem, key: identity.key }, (request, response) => {
    arrived.push([request.httpVersion, response])
    // None is answered before all are there: each has its connection.
    if (arrived.length === 20) for (const [version, waiting] of arrived) waiting.end(version)
  })
  const served = await listen(scope, server)
  const agent = await http2Agent(scope)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome({ port: served.port, agent })))
  assert.deepStrictEqual(new Set(outcomes.map(({ body, httpVersion }) => body + httpVersion)), new Set(['1.11.1']))
  assert.strictEqual(served.connections, 20)
})

test('an agent without the option speaks HTTP/1.1 with a server that has both', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo, options: { allowHTTP1: true } })
  const { root } = await authority
  for (const options of [{}, { http2: false }]) {
    const agent = scope.adopt(new HttpsAgent({ ca: root.pem, ...options }))
    const { body, httpVersion } = await outcome({ port: served.port, agent })
    assert.deepStrictEqual([JSON.parse(body).httpVersion, httpVersion], ['1.1', '1.1'])
  }
})

test('what HTTP/2 cannot say goes over HTTP/1.1 connections of the same agent', async (scope) => {
  const served = await http2Server(scope, { onRequest: echo, options: { allowHTTP1: true } })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent }
  assert.strictEqual((await outcome(options)).httpVersion, '2.0')
  const whole = await outcome({ ...options, path: `https://localhost:${served.port}/whole` })
  assert.deepStrictEqual([whole.httpVersion, JSON.parse(whole.body).httpVersion], ['1.1', '1.1'])
  assert.strictEqual(explain(whole.request).carriedBy, 'keepwire')
})

test('explain() and stats() tell of places in a session', async (scope) => {
  const served = await http2Server(scope, { onRequest: ok })
  const agent = await http2Agent(scope)
  const results = await Promise.all(Array.from({ length: 3 }, () => outcome({ port: served.port, agent })))
  const reasons = results.map(({ request }) => explain(request).reason)
  assert.deepStrictEqual(reasons.sort(), ['multiplexed', 'multiplexed', 'none-idle'])
})

test('options that make no sense are refused', () => {
  const refused = (code) => (error) => error.code === code
  assert.throws(() => new HttpsAgent({ http2: 1 }), refused('ERR_INVALID_ARG_TYPE'))
  assert.throws(() => new HttpsAgent({ http2: true, maxStreams: -1 }), refused('ERR_OUT_OF_RANGE'))
  assert.throws(() => new Agent({ http2: true }), refused('ERR_INVALID_ARG_VALUE'))
})

test('each request has its peer judged, as if it had a connection of its own', async (scope) => {
  const served = await http2Server(scope, { onRequest: ok })
  const judged = []
  const agent = await http2Agent(scope, {
    checkServerIdentity: (name, { subject }) => void judged.push([name, subject.CN]),
  })
  const outcomes = await Promise.all(Array.from({ length: 5 }, () => outcome({ port: served.port, agent })))
  assert.deepStrictEqual(
    outcomes.map(({ body }) => body),
    Array(5).fill('ok'),
  )
  assert.strictEqual(judged.length, 5)
  assert.strictEqual(served.connections, 1)
})

test('a peer that is somebody else is shown as such on every socket, or refused', async (scope) => {
  const served = await http2Server(scope, { onRequest: ok })
  const wrong = { port: served.port, servername: 'elsewhere.example' }
  const taking = await http2Agent(scope, { rejectUnauthorized: false })
  const taken = await Promise.all(Array.from({ length: 3 }, () => outcome({ ...wrong, agent: taking })))
  assert.deepStrictEqual(
    taken.map(({ body, socket }) => [body, socket.authorized]),
    Array(3).fill(['ok', false]),
  )
  const strict = await http2Agent(scope)
  const refused = await Promise.all(Array.from({ length: 3 }, () => outcome({ ...wrong, agent: strict })))
  assert.deepStrictEqual(
    refused.map(({ error }) => error?.code),
    Array(3).fill('ERR_TLS_CERT_ALTNAME_INVALID'),
  )
})
