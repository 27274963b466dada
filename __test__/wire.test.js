'use strict'

// What reaches the server is what the runtime's own agent sends, byte for byte. Each shape is sent twice in this
// process, once with each agent, to the same server, which keeps every byte of the connection.

const assert = require('node:assert')
const http = require('node:http')

const { read } = require('./support/client')
const { reply } = require('./support/peer')
const { test } = require('./support/suite')
const { once, turns } = require('./support/wait')

const KEEP_ALIVE = { keepAlive: true }

/**
 * A shape: `options` of the request; `drive(request)` writes and ends it (default: `end()`); `agent`: options of both
 * agents; `times`: how often it is sent on one connection.
 */
const shapes = {
  'a plain GET': {},
  'a GET with a query and a fragment-like path': { options: { path: '/a?b=c&d=%20e#f' } },
  'a path that nobody may normalise': { options: { path: '/a/../b/./c//d;e?x=/../y&&=' } },
  'an absolute-form path': { options: { path: 'http://other.example/x?y' } },
  'an asterisk path': { options: { method: 'OPTIONS', path: '*' } },
  'a path with characters above ASCII': { options: { path: '/caf\u00e9' } },
  HEAD: { options: { method: 'HEAD' } },
  'DELETE without a body': { options: { method: 'DELETE' } },
  'DELETE with a body': {
    options: { method: 'DELETE', headers: { 'Content-Length': 5 } },
    drive: (r) => r.end('hello'),
  },
  'DELETE with a body of unknown length': { options: { method: 'DELETE' }, drive: (r) => r.end('hello') },
  'GET with a body by length': { options: { headers: { 'content-length': '3' } }, drive: (r) => r.end('abc') },
  'GET with a written body': { drive: (r) => (r.write('abc'), r.end()) },
  'POST without a body': { options: { method: 'POST' } },
  'POST with end(body)': { options: { method: 'POST' }, drive: (r) => r.end('hello world') },
  'POST with an empty end(body)': { options: { method: 'POST' }, drive: (r) => r.end('') },
  'PUT with a length and two writes': {
    options: { method: 'PUT', headers: { 'Content-Length': 10 } },
    drive: (r) => (r.write('hello'), r.end('world')),
  },
  'POST in chunks': { options: { method: 'POST' }, drive: (r) => (r.write('one'), r.write('two'), r.end('three')) },
  'POST in chunks, a turn of the loop between them': {
    options: { method: 'POST' },
    drive: async (r) => {
      for (const chunk of ['one', 'two', 'three']) {
        r.write(chunk)
        await turns(2)
      }
      r.end()
    },
  },
  'PATCH with an explicit Transfer-Encoding': {
    options: { method: 'PATCH', headers: { 'Transfer-Encoding': 'chunked' } },
    drive: (r) => r.end('body'),
  },
  'PROPFIND, a method of WebDAV': {
    options: { method: 'PROPFIND', headers: { Depth: '1' } },
    drive: (r) => r.end('<x/>'),
  },
  'a method in lower case': { options: { method: 'post' }, drive: (r) => r.end('x') },
  trailers: {
    options: { method: 'POST', headers: { Trailer: 'X-Sum, X-Other' } },
    drive: (r) => {
      r.write('body')
      r.addTrailers({ 'X-Sum': 'abc', 'X-Other': 'd e f' })
      r.end()
    },
  },
  'trailers as an array of pairs': {
    options: { method: 'POST', headers: { 'transfer-encoding': 'chunked' } },
    drive: (r) => {
      r.addTrailers([
        ['X-One', '1'],
        ['x-two', '2'],
      ])
      r.end('body')
    },
  },
  'Expect: 100-continue': {
    options: { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 4 } },
    drive: async (r) => {
      await once(r, 'continue')
      r.end('body')
    },
  },
  'header names in mixed case': {
    options: { headers: { 'X-MiXeD': 'a', 'x-lower': 'b', 'X-UPPER': 'c', host: 'Some.Host' } },
  },
  'repeated headers from an array value': {
    options: { headers: { 'X-Multi': ['a', 'b', 'c'], Cookie: ['a=1', 'b=2'] } },
  },
  'headers as a flat array': {
    options: { headers: ['X-First', '1', 'Host', 'flat.example', 'x-first', '2', 'Accept', '*/*'] },
  },
  'headers as an array of pairs': {
    options: {
      headers: [
        ['Host', 'pairs.example'],
        ['X-A', '1'],
        ['X-A', '2'],
      ],
    },
  },
  'headers set, replaced and removed later': {
    drive: (r) => {
      r.setHeader('X-One', '1')
      r.setHeader('x-one', '2')
      r.setHeader('X-Two', ['a', 'b'])
      r.setHeader('X-Gone', 'x')
      r.removeHeader('x-gone')
      r.end()
    },
  },
  appendHeader: {
    drive: (r) => {
      r.appendHeader('X-Many', 'a')
      r.appendHeader('x-many', ['b', 'c'])
      r.end()
    },
  },
  'without Host': { options: { setHost: false } },
  'without default headers': {
    options: { setDefaultHeaders: false, headers: { Host: 'h' } },
  },
  'a number as a header value': { options: { headers: { 'X-Number': 42, 'X-Empty': '' } } },
  'header values in latin1': { options: { headers: { 'X-Latin': 'caf\u00e9 \u00fc\u00ff', 'X-Tab': 'a\tb' } } },
  'a long head': { options: { headers: { 'X-Long': 'x'.repeat(12_000), 'X-Other': 'y' } } },
  'many headers': {
    options: { headers: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`X-Header-${i}`, `value ${i}`])) },
  },
  'basic auth': { options: { auth: 'user:p\u00e4ss:word' } },
  'auth beside an Authorization header': { options: { auth: 'user:pass', headers: { Authorization: 'Bearer x' } } },
  'flushHeaders before the body': {
    options: { method: 'POST' },
    drive: async (r) => {
      r.flushHeaders()
      await once(r, 'socket')
      await turns(3)
      r.end('later')
    },
  },
  'flushHeaders of a GET': { drive: (r) => (r.flushHeaders(), r.end()) },
  'cork, several writes, uncork': {
    options: { method: 'POST' },
    drive: (r) => {
      r.cork()
      r.write('one')
      r.write('two')
      r.uncork()
      r.end()
    },
  },
  'cork until the end': {
    options: { method: 'POST', headers: { 'Content-Length': 6 } },
    drive: (r) => {
      r.cork()
      r.write('one')
      r.write(Buffer.from('two'))
      r.end()
    },
  },
  'a body in latin1': {
    options: { method: 'POST' },
    drive: (r) => (r.write('\u00e4\u00f6', 'latin1'), r.end('\u00fc', 'latin1')),
  },
  'a body in UTF-8': {
    options: { method: 'POST' },
    drive: (r) => (r.write('\u00e4\u{1f600}'), r.end('\u20ac', 'utf8')),
  },
  'a body in hex and base64': {
    options: { method: 'POST' },
    drive: (r) => (r.write('00ff10', 'hex'), r.end('aGVsbG8=', 'base64')),
  },
  'a body of Buffers': {
    options: { method: 'POST' },
    drive: (r) => (r.write(Buffer.from([0, 255, 128, 13, 10])), r.end(Buffer.alloc(3, 7))),
  },
  'a body of Uint8Arrays': { options: { method: 'POST' }, drive: (r) => (r.write(new Uint8Array([1, 2, 3])), r.end()) },
  'a UTF-16 body': { options: { method: 'POST' }, drive: (r) => r.end('hi\u20ac', 'utf16le') },
  'a head with a latin1 path and a UTF-8 body': {
    options: { method: 'POST', path: '/\u00e9', headers: { 'X-L': '\u00e9' } },
    drive: (r) => r.end('\u00e9\u20ac'),
  },
  'large chunks between small ones': {
    options: { method: 'POST' },
    drive: (r) => {
      r.write('small')
      r.write(Buffer.alloc(100_000, 'a'))
      r.write('x')
      r.write('b'.repeat(70_000))
      r.end('end')
    },
  },
  'a large body by length': {
    options: { method: 'PUT', headers: { 'Content-Length': 300_000 } },
    drive: (r) => (r.write(Buffer.alloc(150_000, 1)), r.end(Buffer.alloc(150_000, 2))),
  },
  'Connection: close by the caller': { options: { headers: { Connection: 'close' } } },
  'Connection: keep-alive by the caller': { options: { headers: { connection: 'keep-alive' } } },
  'Connection with other tokens': { options: { headers: { Connection: 'TE', TE: 'trailers' } } },
  'shouldKeepAlive set to false': { drive: (r) => ((r.shouldKeepAlive = false), r.end()) },
  'an agent without keepAlive': { agent: {} },
  'an agent without keepAlive, with a limit': { agent: { maxSockets: 1 } },
  'an agent with a timeout': { agent: { keepAlive: true, timeout: 5_000 } },
  'a request with a timeout': { options: { timeout: 5_000 } },
  'setTimeout, setNoDelay and setSocketKeepAlive': {
    drive: (r) => {
      r.setTimeout(5_000)
      r.setNoDelay(true)
      r.setSocketKeepAlive(true, 1_000)
      r.end()
    },
  },
  strictContentLength: {
    options: { method: 'POST', headers: { 'Content-Length': 2 } },
    drive: (r) => ((r.strictContentLength = true), r.end('ok')),
  },
  'useChunkedEncodingByDefault off': {
    options: { method: 'POST' },
    drive: (r) => ((r.useChunkedEncodingByDefault = false), r.end('x')),
  },
  'a body through pipe': {
    options: { method: 'POST' },
    drive: (r) => {
      const { Readable } = require('node:stream')
      Readable.from([Buffer.from('a'), Buffer.from('bc'), Buffer.alloc(20_000, 'd')]).pipe(r)
    },
  },
  'end with a callback and write with a callback': {
    options: { method: 'POST' },
    drive: async (r) => {
      await new Promise((resolve) => r.write('first', resolve))
      r.end('second', () => {})
    },
  },
  'three requests on one connection': { times: 3, options: { method: 'POST' }, drive: (r) => r.end('again') },
  'HTTP headers with uniqueHeaders': {
    options: { headers: { 'X-Joined': ['a', 'b'] }, uniqueHeaders: ['x-joined'] },
  },
  'defaultPort equal to the port leaves it out of Host': { samePortAsDefault: true },
  'an IPv6-like host header': { options: { headers: { Host: '[::1]:8080' } } },
  'a hostname option': { options: { hostname: 'localhost', host: undefined, family: 4 } },
}

for (const [name, shape] of Object.entries(shapes)) {
  test(`the wire is the runtime's own: ${name}`, async (scope) => {
    const peer = await scope.peer(answering())
    const expected = await record(peer, scope.runtimeAgent(shape.agent || KEEP_ALIVE), shape)
    const actual = await record(peer, scope.agent(shape.agent || KEEP_ALIVE), shape)
    assert.ok(expected.length > 0)
    assert.strictEqual(actual.toString('latin1'), expected.toString('latin1'))
  })
}

for (const [name, shape] of Object.entries(shapes)) {
  test(`the wire of our own request is the runtime's: ${name}`, { ours: 'is compared with itself' }, async (scope) => {
    const peer = await scope.peer(answering())
    const agentOptions = shape.agent || KEEP_ALIVE
    const twice = { ...shape, times: shape.times || 2 }
    const expected = await record(peer, scope.runtimeAgent(agentOptions), twice, { kept: false })
    const actual = await record(peer, scope.agent(agentOptions), twice, {
      send: require('..').http.request,
      kept: false,
    })
    assert.ok(expected.length > 0)
    assert.strictEqual(actual.toString('latin1'), expected.toString('latin1'))
  })
}

test('the recorder sees the very bytes of a request', async (scope) => {
  const peer = await scope.peer(answering())
  const bytes = await record(peer, scope.agent(KEEP_ALIVE), {
    options: { method: 'POST', path: '/x?y', headers: { 'X-Case': 'V' } },
    drive: (request) => (request.write('ab'), request.end('c')),
  })
  const text = bytes.toString('latin1')
  assert.ok(text.startsWith('POST /x?y HTTP/1.1\r\nX-Case: V\r\n'), text)
  assert.ok(text.includes(`\r\nHost: 127.0.0.1:${peer.port}\r\n`), text)
  assert.ok(text.endsWith('\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n'), text)
})

test('an aborted upload has sent a prefix of what the runtime would have sent', async (scope) => {
  const peer = await scope.peer({ onBytes() {} })
  const recordings = []
  for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
    const count = peer.accepted
    const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'POST', agent })
    request.on('error', () => {})
    await new Promise((resolve) => request.write('part', resolve))
    while (peer.accepted === count) await turns()
    const connection = peer.connections[count]
    while (!connection.bytes().includes('part')) await turns()
    request.destroy()
    await connection.closed.promise
    recordings.push(connection.bytes().toString('latin1'))
  }
  assert.strictEqual(recordings[1], recordings[0])
})

/** Answers each request; a head with Expect gets a 100 first. */
function answering() {
  return {
    onHead: (request, connection) => request.headers.expect && connection.write('HTTP/1.1 100 Continue\r\n\r\n'),
    onRequest: (request, connection) =>
      connection.write(request.method === 'HEAD' ? reply('').replace(': 0', ': 2') : reply('ok')),
  }
}

/**
 * Every byte of the connection that serves the shape with this agent; of all its connections, unless they are `kept`.
 * `send`: which request().
 */
async function record(peer, agent, shape, { send = http.request, kept = true } = {}) {
  const first = peer.accepted
  for (let i = 0; i < (shape.times || 1); i++) {
    const request = send({
      host: '127.0.0.1',
      port: peer.port,
      ...(shape.samePortAsDefault && { defaultPort: peer.port }),
      ...shape.options,
      agent,
    })
    const answer = read(request)
    if (shape.drive) await shape.drive(request)
    else request.end()
    await answer
  }
  agent.destroy()
  if (kept) assert.strictEqual(peer.accepted, first + 1, 'one connection carries the shape')
  const connections = peer.connections.slice(first)
  for (const connection of connections) await connection.closed.promise
  return Buffer.concat(connections.map((connection) => connection.bytes()))
}
