'use strict'

// Bodies arrive whole, in both directions and of every size, and neither side takes more than it can hold: a paused
// response stops reading from its socket, and write() says when to wait.

const assert = require('node:assert')
const { createHash } = require('node:crypto')
const http = require('node:http')
const https = require('node:https')
const { Readable, pipeline } = require('node:stream')

const { random, read, send } = require('./support/client')
const { held } = require('./support/memory')
const { reply } = require('./support/peer')
const { test, testBoth } = require('./support/suite')
const { once, settled, turns, until } = require('./support/wait')

const KEEP_ALIVE = { keepAlive: true }
const OURS = { ours: 'sends what is there when the kernel takes it' }
const MB = 1024 * 1024
const GB = 1024 * MB
// What the kernel and both runtimes may hold on the way, far below the bodies that are held back.
const HELD_BACK = 24 * MB
// More than a runtime leaves to its collector, far below the bodies again.
const MOST_GROWTH = 256 * MB

/** Bytes that tell their position: a seeded block, so that a lost or swapped chunk changes the hash. */
function block(seed, size) {
  const next = random(seed)
  const bytes = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) bytes[i] = next() * 256
  return bytes
}

const BLOCK = block(1, 64 * 1024)

function hashOf(...parts) {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

/** Writes `total` bytes made of BLOCK, never more than the socket takes; counts what it has written. */
function pour(connection, total) {
  const state = { sent: 0 }
  const next = () => {
    while (state.sent < total && !connection.socket.destroyed) {
      const part = BLOCK.subarray(0, Math.min(BLOCK.length, total - state.sent))
      state.sent += part.length
      if (!connection.socket.write(part)) return connection.socket.once('drain', next)
    }
  }
  next()
  return state
}

/** A server whose responses have bodies of `total` bytes; `sent()`: of the last one, so far. */
async function pouring(scope, total) {
  let state
  const peer = await scope.peer((_, connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
    state = pour(connection, total)
  })
  return { peer, sent: () => state.sent }
}

/** A response of which nothing is read yet. */
async function begin({ port }, agent) {
  const request = http.get({ host: '127.0.0.1', port, agent })
  const [response] = await once(request, 'response')
  return { request, response }
}

function expectedHash(total) {
  const hash = createHash('sha1')
  for (let sent = 0; sent < total; sent += BLOCK.length)
    hash.update(BLOCK.subarray(0, Math.min(BLOCK.length, total - sent)))
  return hash.digest('hex')
}

test('a paused body of 1 GB stops its server, and memory stays bounded', { timeout: 60_000 }, async (scope) => {
  const { peer, sent } = await pouring(scope, GB)
  const { request, response } = await begin(peer, scope.agent(KEEP_ALIVE))
  response.on('error', () => {})
  await once(response, 'data')
  response.pause()
  const before = process.memoryUsage().rss
  await settled(sent, 400)
  assert.ok(sent() < HELD_BACK, `the server could send ${sent()} bytes`)
  const grown = process.memoryUsage().rss - before
  assert.ok(grown < MOST_GROWTH, `memory grew by ${grown} bytes`)
  request.destroy()
})

test('a body that is never listened to holds its server back too', async (scope) => {
  const { peer, sent } = await pouring(scope, GB)
  const { request, response } = await begin(peer, scope.agent(KEEP_ALIVE))
  response.on('error', () => {})
  await settled(sent, 400)
  assert.ok(sent() < HELD_BACK, `the server could send ${sent()} bytes`)
  request.destroy()
})

test('a body that was paused arrives whole when it is resumed, again and again', async (scope) => {
  const total = 48 * MB
  const { peer } = await pouring(scope, total)
  const { response } = await begin(peer, scope.agent(KEEP_ALIVE))
  const hash = createHash('sha1')
  let received = 0
  let pauses = 0
  response.on('data', (chunk) => {
    hash.update(chunk)
    received += chunk.length
    if (received > (pauses + 1) * 4 * MB) {
      pauses++
      response.pause()
      turns(4).then(() => response.resume())
    }
  })
  await once(response, 'end')
  assert.strictEqual(received, total)
  assert.ok(pauses >= 8)
  assert.strictEqual(hash.digest('hex'), expectedHash(total))
})

test('a slow consumer by for await gets every byte', async (scope) => {
  const total = 8 * MB
  const { peer } = await pouring(scope, total)
  const { response } = await begin(peer, scope.agent(KEEP_ALIVE))
  const hash = createHash('sha1')
  for await (const chunk of response) {
    hash.update(chunk)
    await turns()
  }
  assert.strictEqual(hash.digest('hex'), expectedHash(total))
})

test('20 large bodies at once arrive whole', async (scope) => {
  const total = 4 * MB + 3
  const { peer } = await pouring(scope, total)
  const agent = scope.agent({ keepAlive: true, maxSockets: 5 })
  const expected = expectedHash(total)
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const { response } = await begin(peer, agent)
      const hash = createHash('sha1')
      for await (const chunk of response) hash.update(chunk)
      assert.strictEqual(hash.digest('hex'), expected)
    }),
  )
  assert.strictEqual(peer.accepted, 5)
})

test('bodies of every size around the borders of buffers arrive whole, by length and chunked', async (scope) => {
  const peer = await scope.peer((request, connection) => {
    const [, kind, size] = request.target.split('/')
    const body = BLOCK.toString('latin1').repeat(5).slice(0, Number(size))
    if (kind === 'length') return connection.write(reply(body))
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const step = Number(size) > 1_000 ? 4_093 : 7
    for (let at = 0; at < body.length; at += step) {
      const chunk = body.slice(at, at + step)
      connection.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    }
    connection.write('0\r\n\r\n')
  })
  const agent = scope.agent(KEEP_ALIVE)
  const borders = [0, 1_024, 4_096, 16_384, 32_768, 65_536, 131_072, 262_144]
  const sizes = borders.flatMap((size) => [size - 1, size, size + 1]).filter((size) => size >= 0)
  const all = BLOCK.toString('latin1').repeat(5)
  for (const kind of ['length', 'chunked']) {
    for (const size of sizes) {
      const { body } = await send({ port: peer.port, path: `/${kind}/${size}`, agent })
      assert.ok(body === all.slice(0, size), `${kind} ${size}: got ${body.length}`)
    }
  }
  assert.strictEqual(peer.accepted, 1)
})

test('a body whose packets are cut at random places arrives whole', async (scope) => {
  const next = random(7)
  const body = BLOCK.toString('latin1').slice(0, 20_000)
  const peer = await scope.peer(async (request, connection) => {
    let bytes = reply(body, ['X-Some: header'])
    if (request.target === '/chunked') {
      bytes = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n'
      for (let at = 0; at < body.length; ) {
        const chunk = body.slice(at, (at += 1 + Math.floor(next() * 3_000)))
        bytes += `${chunk.length.toString(16)}\r\n${chunk}\r\n`
      }
      bytes += '0\r\nX: y\r\n\r\n'
    }
    for (let at = 0; at < bytes.length; ) {
      const length = next() < 0.3 ? 1 + Math.floor(next() * 3) : 1 + Math.floor(next() * 4_000)
      connection.write(bytes.slice(at, at + length))
      at += length
      if (next() < 0.7) await turns()
    }
  })
  const agent = scope.agent(KEEP_ALIVE)
  for (let round = 0; round < 30; round++) {
    const answer = await send({ port: peer.port, path: round % 2 ? '/chunked' : '/length', agent })
    assert.ok(answer.body === body, `round ${round}`)
    assert.deepStrictEqual(answer.response.trailers, round % 2 ? { x: 'y' } : {})
  }
  assert.strictEqual(peer.accepted, 1)
})

test('a head that arrives byte by byte is read', async (scope) => {
  const peer = await scope.peer(async (_, connection) => {
    for (const byte of reply('slow', ['X-A: b'])) {
      connection.write(byte)
      await turns()
    }
  })
  const { body, headers } = await send({ port: peer.port, agent: scope.agent(KEEP_ALIVE) })
  assert.deepStrictEqual([body, headers['x-a']], ['slow', 'b'])
})

test('an upload to a server that does not read is held back by write(), and goes on by drain', async (scope) => {
  const total = 64 * MB
  let connection
  let hash
  let received = 0
  const peer = await scope.peer({
    onConnection: (accepted) => {
      connection = accepted
      connection.socket.pause()
    },
    forget: true,
    onBytes: (bytes) => {
      if (!hash) {
        hash = createHash('sha1')
        bytes = bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
      }
      received += bytes.length
      hash.update(bytes)
      if (received === total) connection.write(reply('got it'))
    },
  })
  const request = http.request({
    host: '127.0.0.1',
    port: peer.port,
    method: 'POST',
    headers: { 'Content-Length': total },
    agent: scope.agent(KEEP_ALIVE),
  })
  const answer = read(request)
  let sent = 0
  let drains = 0
  const next = () => {
    while (sent < total) {
      const part = BLOCK.subarray(0, Math.min(BLOCK.length, total - sent))
      sent += part.length
      if (!request.write(part)) return request.once('drain', () => (drains++, next()))
    }
    request.end()
  }
  next()
  const before = process.memoryUsage().rss
  await settled(() => sent, 300)
  assert.ok(sent < HELD_BACK, `${sent} bytes were taken`)
  assert.ok(process.memoryUsage().rss - before < MOST_GROWTH)
  connection.socket.resume()
  assert.strictEqual((await answer).body, 'got it')
  assert.ok(drains > 10, `${drains} times drained`)
  assert.strictEqual(hash.digest('hex'), expectedHash(total))
})

test('a piped upload in chunks arrives whole, beside the response that echoes it', async (scope) => {
  const total = 6 * MB
  const hash = createHash('sha1')
  const peer = await scope.peer((request, connection) => {
    connection.write(reply(`${hashOf(request.body)} ${request.body.length}`))
  })
  const source = Readable.from(
    (function* () {
      const next = random(3)
      for (let sent = 0; sent < total; ) {
        const part = BLOCK.subarray(0, Math.min(1 + Math.floor(next() * BLOCK.length), total - sent))
        sent += part.length
        hash.update(part)
        yield part
      }
    })(),
    { objectMode: false },
  )
  const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'PUT', agent: scope.agent(KEEP_ALIVE) })
  const answer = read(request)
  await new Promise((resolve, reject) => pipeline(source, request, (error) => (error ? reject(error) : resolve())))
  assert.strictEqual((await answer).body, `${hash.digest('hex')} ${total}`)
})

test('many small writes arrive in order', async (scope) => {
  const peer = await scope.peer((request, connection) => connection.write(reply(hashOf(request.body))))
  const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'POST', agent: scope.agent(KEEP_ALIVE) })
  const answer = read(request)
  const parts = Array.from({ length: 5_000 }, (_, i) => `part ${i};`)
  for (const part of parts) request.write(part)
  request.end()
  assert.strictEqual((await answer).body, hashOf(parts.join('')))
})

test('a buffer that was written may be changed after its callback', async (scope) => {
  const peer = await scope.peer((request, connection) => connection.write(reply(hashOf(request.body))))
  const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'POST', agent: scope.agent(KEEP_ALIVE) })
  const answer = read(request)
  const buffer = Buffer.alloc(100_000)
  const hash = createHash('sha1')
  for (let i = 0; i < 20; i++) {
    buffer.fill(i)
    hash.update(buffer)
    await new Promise((resolve) => request.write(buffer, resolve))
  }
  request.end()
  assert.strictEqual((await answer).body, hash.digest('hex'))
})

test('chunks of a response stay as they are after later requests', async (scope) => {
  const peer = await scope.peer((request, connection) => connection.write(reply(request.target.slice(1).repeat(3_000))))
  const agent = scope.agent(KEEP_ALIVE)
  const kept = []
  for (let i = 0; i < 40; i++) {
    const request = http.get({ host: '127.0.0.1', port: peer.port, path: `/${i % 10}`, agent })
    const [response] = await once(request, 'response')
    const chunks = []
    response.on('data', (chunk) => chunks.push(chunk))
    await once(response, 'end')
    kept.push(Buffer.concat(chunks.map((chunk) => chunk)), chunks)
  }
  for (let i = 0; i < 40; i++) {
    const expected = String(i % 10).repeat(3_000)
    assert.ok(Buffer.concat(kept[i * 2 + 1]).toString() === expected, `response ${i}`)
  }
})

test('uploads and downloads at once on 8 connections, mixed sizes by seed', async (scope) => {
  const peer = await scope.peer((request, connection) => connection.write(reply(request.body.toString('latin1'))))
  const agent = scope.agent({ keepAlive: true, maxSockets: 8 })
  const next = random(99)
  await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      const size = Math.floor(next() ** 3 * 300_000)
      const body = BLOCK.toString('latin1')
        .repeat(5)
        .slice(i, i + size)
      const request = http.request({ host: '127.0.0.1', port: peer.port, method: 'POST', agent })
      const answer = read(request)
      const middle = Math.floor(size / 3)
      request.write(Buffer.from(body.slice(0, middle), 'latin1'))
      if (i % 2) await turns()
      request.end(Buffer.from(body.slice(middle), 'latin1'))
      assert.ok((await answer).body === body, `request ${i} of ${size} bytes`)
    }),
  )
  assert.ok(peer.accepted <= 8)
})

test('600 MB through one connection do not stay in memory', async (scope) => {
  const total = 20 * MB
  const { peer } = await pouring(scope, total)
  const agent = scope.agent(KEEP_ALIVE)
  const round = async () => {
    const { response } = await begin(peer, agent)
    let received = 0
    response.on('data', (chunk) => (received += chunk.length))
    await once(response, 'end')
    assert.strictEqual(received, total)
  }
  await round()
  const before = held().rss
  for (let i = 0; i < 30; i++) await round()
  const grown = held().rss - before
  assert.ok(grown < MOST_GROWTH, `memory grew by ${Math.round(grown / MB)} MB`)
  await until(() => agent.totalSocketCount === 1)
  assert.strictEqual(peer.accepted, 1)
})

for (const own of [false, true]) {
  const how = own ? ', over our own request' : ''
  testBoth(`what is written may be transferred and changed at once${how}`, OURS, async (scope) => {
    const pieces = [70_000, 300_000, 3 * MB, MB, MB].map((size, at) => block(at + 1, size))
    const bodies = []
    const peer = await scope.peer(({ body }, connection) => {
      bodies.push(hashOf(Buffer.from(body, 'latin1')))
      connection.write(reply('ok'))
    })
    const { request } = (own ? require('..') : { http, https })[scope.scheme]
    const options = { host: 'localhost', port: peer.port, agent: scope.agent(KEEP_ALIVE), method: 'PUT' }
    // What is written before there is a connection waits where it is, as in the runtime.
    await send({ ...options, method: 'GET' })
    bodies.length = 0
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const sending = request({ ...options, headers: { 'content-length': length } })
    await once(sending, 'socket')
    for (const piece of pieces) {
      const bytes = new Uint8Array(piece)
      sending.write(bytes)
      new Uint8Array(structuredClone(bytes.buffer, { transfer: [bytes.buffer] })).fill(0)
    }
    sending.end()
    const [response] = await once(sending, 'response')
    response.resume()
    await once(response, 'end')
    assert.deepStrictEqual(bodies, [hashOf(...pieces)])
  })
}

for (const own of [false, true]) {
  test(`a piece of a body is its user's alone, over ${own ? 'our own request' : 'the agent'}: it can be sent to other threads`, async (scope) => {
    const peer = await scope.peer((request, connection) => {
      connection.write(reply('x'.repeat(Number(request.target.slice(1)))))
    })
    const agent = scope.agent(KEEP_ALIVE)
    const { get } = own ? require('..').http : http
    for (const length of [5, 5, 5, 2_000, 2_000, 10_000, 20_000, 200_000, 2_000_000]) {
      await new Promise((resolve, reject) => {
        const request = get({ port: peer.port, agent, path: `/${length}` }, (response) => {
          response.on('data', (chunk) => {
            try {
              assert.strictEqual(chunk.buffer.byteLength, chunk.length, 'there is other data beside it')
              structuredClone(chunk.buffer, { transfer: [chunk.buffer] })
              assert.strictEqual(chunk.length, 0, 'it is still here')
            } catch (error) {
              reject(error)
            }
          })
          response.on('end', resolve)
        })
        request.on('error', reject)
      })
    }
  })
}
