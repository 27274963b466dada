'use strict'

// Sessions that come, go, refuse and stall: what becomes of the requests on them, and of their siblings.

const assert = require('node:assert')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')

const { inLanes } = require('../support/client')
const { http2Agent, http2Server, outcome, relay } = require('../support/http2')
const { listen } = require('../support/secure')
const { isBun, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')
const { withMoreTime } = require('../support/wait')

const { NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_NO_ERROR } = http2.constants

/** What frames.test.js has of streams that are reset is the same on all runtimes: of Bun's servers, resets before a head are malformed. */
const RESETS = { skip: isBun }

const answer = (stream) => {
  stream.respond({ ':status': 200 })
  stream.end('ok')
}

/** The outcomes of as many requests at once, in short. */
async function burst(count, options, how) {
  const outcomes = await Promise.all(Array.from({ length: count }, () => outcome(options, how)))
  return outcomes.map(({ body, error, lateError }) => (error ?? lateError)?.code ?? body)
}

const all = (count, what) => Array(count).fill(what)

for (const streams of [1, 2, 10]) {
  test(`a burst of 100 requests to a server that takes ${streams} at a time is answered as a whole`, async (scope) => {
    const served = await http2Server(scope, { onStream: answer, settings: { maxConcurrentStreams: streams } })
    const agent = await http2Agent(scope)
    const options = { port: served.port, agent, method: 'POST' }
    assert.deepStrictEqual(await burst(100, options, { body: 'x' }), all(100, 'ok'))
    assert.strictEqual(served.counts.streams, 100, 'each is asked once')
  })
}

test('maxStreams bounds the streams of a session, maxSockets the requests at a time', async (scope) => {
  const waiting = []
  const onStream = (stream) => {
    waiting.push(stream)
    if (waiting.length === 30) for (const each of waiting) answer(each)
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope, { maxStreams: 10 })
  assert.deepStrictEqual(await burst(30, { port: served.port, agent }), all(30, 'ok'))
  assert.strictEqual(served.connections, 3)

  let most = 0
  let open = 0
  const counted = await http2Server(scope, {
    onStream(stream) {
      open += 1
      most = Math.max(most, open)
      stream.on('close', () => (open -= 1))
      setImmediate(answer, stream)
    },
  })
  const few = await http2Agent(scope, { maxSockets: 5 })
  assert.deepStrictEqual(await burst(50, { port: counted.port, agent: few }), all(50, 'ok'))
  assert.deepStrictEqual([counted.connections, most <= 5], [1, true])
})

test('after socketActiveTTL nobody gets a place in a session any more', async (scope) => {
  let busy = true
  const held = []
  const onStream = (stream, headers) => (headers[':path'] === '/held' ? held.push(stream) : answer(stream))
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope, { socketActiveTTL: 300 })
  const options = { port: served.port, agent }
  const under = outcome({ ...options, path: '/held' })
  while (busy) {
    assert.strictEqual((await outcome(options)).body, 'ok')
    busy = served.connections < 2
  }
  for (const stream of held) answer(stream)
  assert.strictEqual((await under).body, 'ok')
})

test('GOAWAY lets what is under way end, and new requests go to a new session', async (scope) => {
  const held = []
  const onStream = (stream, headers) => {
    if (headers[':path'] !== '/held') return answer(stream)
    held.push(stream)
    stream.respond({ ':status': 200 })
    stream.write('first ')
    if (held.length === 3) stream.session.goaway(NGHTTP2_NO_ERROR, stream.id)
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent }
  const under = burst(3, { ...options, path: '/held' })
  while (held.length < 3) await new Promise(setImmediate)
  assert.deepStrictEqual(await burst(10, { ...options, method: 'POST' }, { body: 'x' }), all(10, 'ok'))
  for (const stream of held) stream.end('last')
  assert.deepStrictEqual(await under, all(3, 'first last'))
  assert.strictEqual(served.connections, 2)
})

test('GOAWAY every 20 requests loses none and doubles none', async (scope) => {
  const seen = new Set()
  let doubled = 0
  const onStream = (stream, headers) => {
    const path = headers[':path']
    if (seen.has(path)) doubled += 1
    seen.add(path)
    stream.session.served = (stream.session.served ?? 0) + 1
    if (stream.session.served === 20) stream.session.close()
    answer(stream)
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope, { maxSockets: 10 })
  const results = []
  await inLanes(10, 400, async (i) => {
    const method = i % 2 ? 'POST' : 'GET'
    const result = await outcome(
      { port: served.port, agent, method, path: `/${i}` },
      { body: method === 'POST' ? 'x' : undefined },
    )
    results.push((result.error ?? result.lateError)?.code ?? result.body)
  })
  assert.deepStrictEqual([results, doubled], [all(400, 'ok'), 0])
})

test('a session that dies idle costs the next request nothing, a POST either', async (scope) => {
  const served = await http2Server(scope, { onStream: answer })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  for (let round = 0; round < 5; round++) {
    assert.deepStrictEqual(await burst(3, options, { body: 'x' }), all(3, 'ok'))
    for (const session of served.openSessions) session.close()
    while (served.open > 0) await new Promise(setImmediate)
  }
  assert.strictEqual(served.connections, 5)
})

/** Node 18's http2 servers crash when they collect the TLS of a connection that has ended under a write. */
const CUT = { skip: isNode && major < 20 && 'the runtime crashes' }

test('a connection that is cut moves what may be sent again, and fails what may not', CUT, async (scope) => {
  let cut = false
  const onStream = (stream, headers) => {
    if (headers[':path'] !== '/cut' || cut) return answer(stream)
    cut = true
    between.cut()
  }
  const served = await http2Server(scope, { onStream })
  const between = await relay(scope, served.port)
  const agent = await http2Agent(scope)
  const options = { port: between.port, agent, path: '/cut' }
  await outcome({ ...options, path: '/' })
  assert.strictEqual((await outcome(options)).body, 'ok')
  cut = false
  await outcome({ ...options, path: '/' })
  assert.strictEqual((await outcome({ ...options, method: 'POST' }, { body: 'x' })).error.code, 'ECONNRESET')
})

test('responses that nobody reads stop no sibling', async (scope) => {
  const large = Buffer.alloc(8 << 20, 'a')
  const onStream = (stream, headers) => {
    stream.respond({ ':status': 200 })
    stream.end(headers[':path'] === '/large' ? large : 'ok')
  }
  // Node's servers refuse streams while they have more than 10 MB to send, unless they are told otherwise.
  const served = await http2Server(scope, { onStream, options: { maxSessionMemory: 1000 } })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, host: 'localhost', family: 4 }
  const unread = await Promise.all(
    Array.from(
      { length: 3 },
      () => new Promise((resolve, reject) => https.get({ ...options, path: '/large' }, resolve).on('error', reject)),
    ),
  )
  assert.deepStrictEqual(await burst(5, options), all(5, 'ok'))
  assert.strictEqual(served.connections, 1)
  for (const response of unread) {
    let bytes = 0
    for await (const chunk of response) bytes += chunk.length
    assert.strictEqual(bytes, large.length)
  }
})

test('a socket that is destroyed, an abort and a timeout hurt no sibling', async (scope) => {
  const held = []
  const onStream = (stream, headers) => {
    if (headers[':path'] === '/held') held.push(stream)
  }
  const served = await http2Server(scope, { onStream })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, path: '/held' }
  const control = new AbortController()
  const sibling = outcome(options)
  const destroyed = outcome(options, {
    use(request) {
      request.end()
      request.on('socket', (socket) => served.server.once('held', () => socket.destroy()))
    },
  })
  const aborted = outcome(
    { ...options, signal: undefined },
    {
      use(request) {
        request.end()
        control.signal.addEventListener('abort', () => request.destroy())
      },
    },
  )
  // On a connection that is slow to open, its time may be over before it is sent.
  const timedOut = outcome(
    { ...options, path: '/silent', timeout: 50 },
    {
      use(request) {
        request.on('timeout', () => request.destroy(Object.assign(new Error('late'), { code: 'LATE' })))
        request.end()
      },
    },
  )
  while (held.length < 3) await new Promise(setImmediate)
  served.server.emit('held')
  control.abort()
  assert.strictEqual((await destroyed).error.code, 'ECONNRESET')
  assert.strictEqual((await aborted).error.code, 'ECONNRESET')
  assert.strictEqual((await timedOut).error.code, 'LATE')
  for (const stream of held) if (!stream.destroyed) answer(stream)
  assert.strictEqual((await sibling).body, 'ok')
  assert.strictEqual(served.connections, 1)
})

test("headersTimeout and bodyTimeout are each request's own", async (scope) => {
  const onStream = (stream, headers) => {
    if (headers[':path'] === '/silent') return
    if (headers[':path'] === '/stuck') {
      stream.respond({ ':status': 200 })
      stream.write('part')
      return
    }
    answer(stream)
  }
  const served = await http2Server(scope, { onStream })
  await withMoreTime(async (ms) => {
    const before = served.connections
    const agent = await http2Agent(scope, { headersTimeout: ms, bodyTimeout: ms })
    const options = { port: served.port, agent }
    const [silent, stuck, fine] = await Promise.all([
      outcome({ ...options, path: '/silent' }),
      outcome({ ...options, path: '/stuck' }),
      outcome(options),
    ])
    assert.strictEqual(silent.error.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
    assert.strictEqual(stuck.lateError?.code, 'ERR_KEEPWIRE_BODY_TIMEOUT')
    assert.strictEqual(fine.body, 'ok')
    assert.strictEqual((await outcome(options)).body, 'ok')
    assert.strictEqual(served.connections - before, 1)
  })
})

test('a server that requires HTTP/1.1 gets it, for this request and those after it', RESETS, async (scope) => {
  const served = await http2Server(scope, {
    onRequest(request, response) {
      if (request.stream === undefined) response.end(`over ${request.httpVersion}`)
      else request.stream.close(NGHTTP2_HTTP_1_1_REQUIRED)
    },
    options: { allowHTTP1: true },
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  assert.deepStrictEqual(await burst(3, options, { body: 'x' }), all(3, 'over 1.1'))
  const streams = served.counts.streams
  assert.deepStrictEqual(await burst(3, options, { body: 'x' }), all(3, 'over 1.1'))
  assert.strictEqual(served.counts.streams, streams)
})

test('421 and a challenge for NTLM have later requests go over HTTP/1.1', async (scope) => {
  for (const [status, fields] of [
    [421, {}],
    [401, { 'www-authenticate': 'NTLM' }],
  ]) {
    const served = await http2Server(scope, {
      onRequest(request, response) {
        if (request.httpVersion === '2.0') response.writeHead(status, fields)
        response.end(request.httpVersion)
      },
      options: { allowHTTP1: true },
    })
    const agent = await http2Agent(scope)
    const options = { port: served.port, agent }
    const first = await outcome(options)
    assert.deepStrictEqual([first.status, first.body], [status, '2.0'])
    assert.deepStrictEqual(await burst(3, options), all(3, '1.1'))
  }
})

test('a connection that cannot be opened fails all that wait for it', async (scope) => {
  const served = await http2Server(scope, { onStream: answer })
  const held = []
  const refusing = await listen(
    scope,
    net.createServer((socket) => held.push(socket)),
  )
  const agent = await http2Agent(scope)
  const waiting = burst(5, { port: refusing.port, agent })
  // What the engine was asked first, it has done by then.
  assert.strictEqual((await outcome({ port: served.port, agent })).body, 'ok')
  while (held.length === 0) await new Promise(setImmediate)
  assert.strictEqual(held.length, 1)
  held[0].end('this is no TLS\r\n')
  const codes = await waiting
  assert.strictEqual(new Set(codes).size, 1)
  assert.notStrictEqual(codes[0], 'ok')
  assert.strictEqual(held.length, 1)
})
