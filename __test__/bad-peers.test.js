'use strict'

// Servers that break the rules, or vanish. The request that meets one fails with the runtime's own error (code,
// message, fields); a request under way on another connection does not notice; the next request works; nothing leaks.

const assert = require('node:assert')
const net = require('node:net')
const http = require('node:http')

const { failure, read, send, sentOnce } = require('./support/client')
const { chunkedReply, reply } = require('./support/peer')
const { tellError } = require('./support/recorder')
const { isBun, isDeno, isNode, major } = require('./support/runtime')
const { test } = require('./support/suite')
const { turns, until } = require('./support/wait')

const KEEP_ALIVE = { keepAlive: true }

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

/** What the bad server sends when it has a request; `end`: then closes; `reset`: then resets; `head`: at its head. */
const cases = {
  garbage: { bytes: 'this is not HTTP at all\r\n\r\n' },
  'binary garbage': { bytes: '\x00\x01\x02\xff\xfe\r\n\r\n' },
  'a TLS alert': { bytes: '\x15\x03\x01\x00\x02\x02\x28', end: true },
  'nothing, then FIN': { bytes: '', end: true },
  'nothing, then RST': { bytes: '', reset: true },
  'half a status line, then FIN': { bytes: 'HTTP/1.1 2', end: true },
  'half a head, then FIN': { bytes: 'HTTP/1.1 200 OK\r\nContent-Le', end: true },
  'half a head, then RST': { bytes: 'HTTP/1.1 200 OK\r\nContent-Le', reset: true },
  'an invalid status line': { bytes: 'HTTP/1.1 OK\r\n\r\n' },
  'a status code with letters': { bytes: 'HTTP/1.1 2x0 OK\r\n\r\n' },
  'a status code of two digits': { bytes: 'HTTP/1.1 20 OK\r\n\r\n', end: true },
  'a status code of four digits': { bytes: 'HTTP/1.1 2000 OK\r\n\r\n', end: true },
  'an unknown HTTP version': { bytes: 'HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n' },
  'a lower-case protocol': { bytes: 'http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' },
  'another protocol': { bytes: 'SIP/2.0 200 OK\r\n\r\n' },
  'a header without a colon': { bytes: 'HTTP/1.1 200 OK\r\nNoColonHere\r\n\r\n', end: true },
  'a header name with a space': { bytes: 'HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n', end: true },
  'a space before the colon': { bytes: 'HTTP/1.1 200 OK\r\nName : x\r\nContent-Length: 0\r\n\r\n' },
  'an empty header name': { bytes: 'HTTP/1.1 200 OK\r\n: x\r\n\r\n', end: true },
  'a NUL in a header value': { bytes: 'HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n' },
  'a control character in a header value': { bytes: 'HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 0\r\n\r\n' },
  'a bare CR in a header value': { bytes: 'HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n' },
  'a bare LF after the status line': { bytes: 'HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok' },
  'bare LFs everywhere': { bytes: 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok' },
  'a folded header': { bytes: 'HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok' },
  'two different Content-Length': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk' },
  'two equal Content-Length': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok' },
  'a Content-Length with letters': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok' },
  'a negative Content-Length': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n' },
  'an empty Content-Length': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n', end: true },
  'a Content-Length beyond 64 bits': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n' },
  'Transfer-Encoding and Content-Length': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  },
  'Content-Length and Transfer-Encoding': {
    bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  },
  'a Transfer-Encoding that is not chunked': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody',
    end: true,
  },
  'chunked that is not last': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nbody', end: true },
  'chunked after another coding': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  },
  'a wrong chunk size': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n' },
  'an empty chunk size': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n' },
  'a chunk longer than its size': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n',
  },
  'a chunk size beyond 64 bits': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n',
  },
  'a chunk extension': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b;c="d"\r\nok\r\n0\r\n\r\n' },
  'a chunk size with a space': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n' },
  'a chunk with a bare LF': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n' },
  'a bad trailer': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nBad Trailer\r\n\r\n',
  },
  'a wrong chunk size after a good chunk, in a packet of its own': {
    bytes: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n', 'zz\r\n'],
  },
  'half a body by length, then FIN': { bytes: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf', end: true },
  'half a body by length, then RST': { bytes: ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'half'], reset: true },
  'half a chunk, then FIN': { bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf', end: true },
  'half a chunk, then RST': {
    bytes: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'ff\r\nhalf'],
    reset: true,
  },
  'chunks without the last one, then FIN': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    end: true,
  },
  'the last chunk without its line end, then FIN': {
    bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n',
    end: true,
  },
  'a body until the close, then RST': { bytes: ['HTTP/1.1 200 OK\r\n\r\n', 'some'], reset: true },
  'only an informational response, then FIN': { bytes: 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', end: true },
  '101 that nobody asked for': { bytes: 'HTTP/1.1 101 Switching Protocols\r\n\r\n', end: true },
  'an endless header': { bytes: `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(100_000)}` },
  'headers without end': { bytes: `HTTP/1.1 200 OK\r\n${'X-Some: header\r\n'.repeat(5_000)}` },
  'a head just under maxHeaderSize': {
    options: { maxHeaderSize: 4_000 },
    bytes: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(3_000)}\r\nContent-Length: 2\r\n\r\nok`,
  },
  'a head over maxHeaderSize': {
    options: { maxHeaderSize: 4_000 },
    bytes: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(5_000)}\r\nContent-Length: 2\r\n\r\nok`,
  },
  'a head over the default limit, under a raised one': {
    options: { maxHeaderSize: 60_000 },
    bytes: `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\nContent-Length: 2\r\n\r\nok`,
  },
  'more headers than maxHeadersCount would take': {
    bytes: `HTTP/1.1 200 OK\r\n${Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}\r\n`).join('')}Content-Length: 2\r\n\r\nok`,
  },
  'trailers over the limit': {
    bytes: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  },
  'a body for HEAD': { options: { method: 'HEAD' }, bytes: reply('unwanted') },
  'a body for 204': { bytes: 'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok' },
  'a body for 304': { bytes: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok' },
  'bytes after the end of the body': { bytes: `${reply('ok')}trailing garbage` },
  'a second response in the same packet': { bytes: reply('ok') + reply('no') },
  'a second response in the next packet': { bytes: [reply('ok'), reply('no')] },
  'one empty line too many behind its body': { bytes: `${reply('ok')}\r\n` },
  'an empty line in the packet behind its body': { bytes: [reply('ok'), '\r\n'] },
  'empty lines behind its last chunk': { bytes: `${chunkedReply(['o', 'k'])}\r\n\r\n` },
  'an empty line behind its trailers': { bytes: `${chunkedReply(['ok'], ['Trailer: X-Sum'], ['X-Sum: 1'])}\r\n` },
  'an empty line behind its body, and half another': { bytes: `${reply('ok')}\r\n\r` },
  'an empty line behind its body, and a second response': { bytes: `${reply('ok')}\r\n${reply('no')}` },
  'an empty line behind its body, and garbage': { bytes: `${reply('ok')}\r\ngarbage` },
  'many chunks with short extensions': { bytes: `${CHUNKED}${`1;${'x'.repeat(100)}\r\na\r\n`.repeat(400)}0\r\n\r\n` },
  'a chunk with as much extension as is allowed': {
    bytes: `${CHUNKED}2;${'x'.repeat(8_000)}=${'y'.repeat(8_000)}\r\nok\r\n0\r\n\r\n`,
  },
  'a chunk with too long an extension': { bytes: `${CHUNKED}2;${'x'.repeat(16_385)}\r\nok\r\n0\r\n\r\n` },
  'a last chunk with an extension': { bytes: `${CHUNKED}2\r\nok\r\n0;a=b\r\n\r\n` },
  'chunk sizes with leading zeros': { bytes: `${CHUNKED}${'0'.repeat(40)}2\r\nok\r\n00000\r\n\r\n` },
  'trailers just under the limit': {
    bytes: `${CHUNKED}2\r\nok\r\n0\r\n${`X-A: ${'x'.repeat(1_597)}\r\n`.repeat(10)}\r\n`,
  },
  'many short trailers': { bytes: `${CHUNKED}2\r\nok\r\n0\r\n${'a: b\r\n'.repeat(4_000)}\r\n` },
  'empty lines before the status line': { bytes: `\r\n\r\n${reply('ok')}` },
}

const insecure = [
  'a bare CR in a header value',
  'Transfer-Encoding and Content-Length',
  'a chunk size with a space',
  'a NUL in a header value',
]

// Node 18 has an older parser, which accepts some of these, or most of them. The engine is as strict as Node 20 to 26, Bun
// and Deno everywhere.
const NEWER_PARSER = new Set([
  'a bare LF after the status line',
  'a body for 204',
  'a header name with a space',
  'a space before the colon',
  'a status code of four digits',
  'a status code of two digits',
  'an empty header name',
  'bare LFs everywhere',
])
const hasOlderParser = isNode && major < 20

for (const [name, bad] of Object.entries(cases)) {
  const isUnlimited = isDeno && name === 'a chunk with too long an extension'
  const isOlder = hasOlderParser && NEWER_PARSER.has(name)
  const skip = isUnlimited
    ? 'this runtime has no limit for it, ours is that of Node'
    : isOlder && 'this Node has an older parser'
  test(`a server that sends ${name}: the runtime's own outcome, for that request alone`, { skip }, async (scope) => {
    assert.deepStrictEqual(
      await meet(scope, scope.agent(KEEP_ALIVE), bad),
      await meet(scope, scope.runtimeAgent(KEEP_ALIVE), bad),
    )
  })
}

for (const name of insecure) {
  test(`insecureHTTPParser and ${name}: the runtime's own outcome`, async (scope) => {
    const bad = { ...cases[name], options: { insecureHTTPParser: true } }
    assert.deepStrictEqual(
      await meet(scope, scope.agent(KEEP_ALIVE), bad),
      await meet(scope, scope.runtimeAgent(KEEP_ALIVE), bad),
    )
  })
}

test("a bad server on a reused connection: the runtime's own outcome for a POST", async (scope) => {
  for (const name of [
    'garbage',
    'half a head, then FIN',
    'two different Content-Length',
    'half a body by length, then FIN',
  ]) {
    const bad = { ...cases[name], options: { method: 'POST' }, warm: true }
    assert.deepStrictEqual(
      await meet(scope, scope.agent(KEEP_ALIVE), bad),
      await meet(scope, scope.runtimeAgent(KEEP_ALIVE), bad),
      name,
    )
  }
})

test('the outcomes differ between good and bad', async (scope) => {
  const agent = () => scope.agent(KEEP_ALIVE)
  const good = await meet(scope, agent(), { bytes: reply('ok') })
  assert.deepStrictEqual(good.events, ['response 200 OK', 'body ok', 'end'])
  const bad = await meet(scope, agent(), cases['half a body by length, then FIN'])
  assert.ok(
    bad.events.some((line) => line.includes('ECONNRESET')),
    `${bad.events}`,
  )
})

/** One request to a bad server, beside a slow good one, followed by a good one. */
async function meet(scope, agent, bad) {
  const slow = []
  const peer = await scope.peer({
    onRequest: async (request, connection) => {
      if (request.target === '/good') return connection.write(reply('good'))
      if (request.target === '/slow') return slow.push(connection)
      const parts = Array.isArray(bad.bytes) ? [...bad.bytes] : [bad.bytes]
      for (const part of parts) {
        if (part !== '') connection.write(part)
        if (parts.length > 1) await turns(5)
      }
      if (bad.reset) {
        if (bad.bytes !== '') await turns(5)
        connection.reset()
      } else if (bad.end) connection.end()
    },
  })
  if (bad.warm) assert.strictEqual((await send({ port: peer.port, path: '/good', agent })).body, 'good')
  await turns(2)

  const events = []
  const request = sentOnce(http.request({ host: '127.0.0.1', port: peer.port, path: '/bad', agent, ...bad.options }))
  const over = watch(request, events)
  request.end()
  const beside = send({ port: peer.port, path: '/slow', agent })
  await over
  await until(() => slow.length === 1)
  slow[0].write(reply('slow'))
  assert.strictEqual((await beside).body, 'slow')
  for (let i = 0; i < 2; i++) assert.strictEqual((await send({ port: peer.port, path: '/good', agent })).body, 'good')
  agent.destroy()
  await peer.nobodyConnected(30_000)
  return { events, reused: request.reusedSocket }
}

/** Writes down how a request ends; resolves when it and its response are closed, or it has its whole body. */
function watch(request, events) {
  return new Promise((resolve) => {
    let responseClosed = true
    let requestClosed = false
    const done = () => responseClosed && requestClosed && resolve()
    // How errors are reported is the runtime's business: Bun repeats some.
    request.on('error', (error) => events.push(`request error ${tellError(error)}`))
    request.on('upgrade', (_response, socket) => {
      events.push('upgrade')
      socket.destroy()
    })
    request.on('information', ({ statusCode }) => events.push(`information ${statusCode}`))
    request.on('close', () => {
      requestClosed = true
      done()
    })
    request.on('response', (response) => {
      responseClosed = false
      events.push(`response ${response.statusCode} ${response.statusMessage}`)
      let body = ''
      response.on('data', (chunk) => (body += chunk))
      response.on('aborted', () => events.push(`aborted after ${body}`))
      response.on('error', (error) => events.push(`response error ${tellError(error)}`))
      response.on('end', () => events.push(`body ${body}`, 'end'))
      response.on('close', () => {
        responseClosed = true
        done()
      })
    })
  })
}

/** A port of this test's process: below those that systems give to who asks for any. */
const OWN_PORT = 20_000 + (process.pid % 10_000)

for (const [name, options] of [
  ['an unresolvable host', { host: 'does-not-exist.invalid', port: 80 }],
  ['an empty label in a host', { host: 'a..b', port: 80 }],
  ['a host of 300 letters', { host: 'a'.repeat(300), port: 80 }],
  ['a refused port', { host: '127.0.0.1', port: 1 }],
  ['a refused port of a name with several addresses', { host: 'localhost', port: 1 }],
  ['a refused port of family 6', { host: '::1', port: 1, family: 6 }],
  ['an address of no interface as localAddress', { host: '127.0.0.1', port: 1, localAddress: '203.0.113.7' }],
  ['a refused port and a localPort', { host: '127.0.0.1', port: 1, localPort: 'any free one' }],
  ['a socketPath where nothing is', { socketPath: '/nonexistent/socket' }],
]) {
  test(`${name}: the runtime's own error, and the next request works`, async (scope) => {
    const errors = []
    const localPort = options.localPort && OWN_PORT
    for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
      const error = await failure(send({ ...options, ...(localPort && { localPort }), agent }))
      errors.push(`${tellError(error)} with ${Object.keys(error).sort()}`)
      const peer = await scope.peer((_, connection) => connection.write(reply('ok')))
      assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
      await until(() => agent.totalSocketCount === 1)
    }
    assert.strictEqual(errors[1], errors[0])
  })
}

test('a failing origin with a queue: every request fails by itself', async (scope) => {
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const errors = await Promise.all(Array.from({ length: 10 }, () => failure(send({ port: 1, agent }))))
  assert.deepStrictEqual(new Set(errors.map((error) => error.code)), new Set(['ECONNREFUSED']))
  assert.strictEqual(new Set(errors).size, 10)
  await until(() => agent.totalSocketCount === 0)
})

test('errors and answers mixed under a limit: each request gets its own', async (scope) => {
  let served = 0
  const peer = await scope.peer((request, connection) => {
    served++
    if (request.target.startsWith('/garbage')) return connection.write('nonsense\r\n\r\n')
    if (request.target.startsWith('/fin')) return connection.end()
    connection.write(reply(request.target))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 4 })
  const kinds = ['good', 'garbage', 'good', 'fin']
  const outcomes = await Promise.all(
    Array.from({ length: 80 }, (_, i) => {
      const path = `/${kinds[i % 4]}-${i}`
      const request = http.request({ host: '127.0.0.1', port: peer.port, path, method: 'POST', agent })
      const answer = read(request).then(
        ({ body }) => body === path,
        (error) => error.code,
      )
      request.end()
      return answer
    }),
  )
  outcomes.forEach((outcome, i) => {
    const expected = { good: [true], garbage: ['HPE_INVALID_CONSTANT'], fin: ['ECONNRESET'] }[kinds[i % 4]]
    if (isBun && kinds[i % 4] === 'garbage') assert.notStrictEqual(outcome, true)
    else assert.ok(expected.includes(outcome), `request ${i} (${kinds[i % 4]}): ${outcome}`)
  })
  assert.strictEqual(served, 80)
  assert.ok(peer.peak <= 4 + 4, `${peer.peak} connections at once`)
})

test('a server that answers before it is asked, and ends: on fresh connections, those are the answers', async (scope) => {
  const server = net.createServer((socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end(reply('hello')),
  )
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  let accepted = 0
  server.on('connection', () => accepted++)
  const agent = scope.agent({ keepAlive: false })
  for (let i = 1; i <= 60; i++) {
    assert.strictEqual((await send({ port: server.address().port, agent })).body, 'hello')
    assert.strictEqual(accepted, i)
  }
})
