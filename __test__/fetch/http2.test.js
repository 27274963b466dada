'use strict'

// fetch() over HTTP/2, over an agent's sessions and without an agent: each request of it has a place in a session of the engine's.

const assert = require('node:assert')
const zlib = require('node:zlib')

const { fetch } = require('../..')
const { http2Agent, http2Server } = require('../support/http2')
const frames = require('../support/frames')
const { isBun } = require('../support/runtime')
const { test } = require('../support/suite')
const { deferred } = require('../support/wait')

const {
  answer,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  frameServer,
  goAway,
  HEADERS,
  reset,
  RST_STREAM,
  STATUS_200,
} = frames

const MAX_FRAME_SIZE = 16_384
const INTERNAL_ERROR = 2
const REFUSED_STREAM = 7
const CANCEL = 8

// Those without an agent trust whom the process trusts.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

/** Whether a client's frame ends its request. */
const endsRequest = ({ type, flags }) => (type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0

/** A response whose fields are written without compression, one after the other. */
function head(stream, fields) {
  const text = (value) => [value.length, ...Buffer.from(value)]
  const lines = Object.entries(fields).flatMap(([name, value]) => [0, ...text(name), ...text(value)])
  const block = Buffer.concat([STATUS_200, Buffer.from(lines)])
  const first = block.subarray(0, MAX_FRAME_SIZE)
  if (first.length === block.length) return frame(HEADERS, END_HEADERS, stream, block)
  return Buffer.concat([
    frame(HEADERS, 0, stream, first),
    frame(CONTINUATION, END_HEADERS, stream, block.subarray(MAX_FRAME_SIZE)),
  ])
}

const ways = {
  'over an agent': async (scope) => {
    const agent = await http2Agent(scope)
    return (url, init) => fetch(url, { ...init, agent })
  },
  'without an agent': async () => fetch,
}

/** Has a test run over an agent, and without one. */
function each(title, options, run) {
  for (const [way, make] of Object.entries(ways)) {
    test(`${title}, ${way}`, options, async (scope) => run(scope, await make(scope)))
  }
}

const stream = (...chunks) =>
  new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift()
      if (chunk === undefined) controller.close()
      else controller.enqueue(chunk)
    },
  })

// What Bun's http2 server makes of these is its own affair.
const OTHERS = { skip: isBun }

each('a response has the fields of its head, and no more', OTHERS, async (scope, get) => {
  const served = await http2Server(scope, {
    onStream(stream, headers) {
      stream.additionalHeaders({ ':status': 103, link: '</x>' })
      stream.respond(
        { ':status': 201, 'X-Seen': headers['x-given'], 'set-cookie': ['a=1', 'b=2'] },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-late': '1' }))
      stream.end(headers[':authority'])
    },
  })
  const origin = `https://localhost:${served.port}`
  const response = await get(`${origin}/`, { headers: { 'X-Given': 'here', connection: 'x-hop', 'x-hop': '1' } })
  assert.deepStrictEqual([response.status, response.statusText, response.url], [201, '', `${origin}/`])
  const told = [...response.headers].filter(([name]) => name !== 'date')
  assert.deepStrictEqual(told.sort(), [
    ['set-cookie', 'a=1'],
    ['set-cookie', 'b=2'],
    ['x-seen', 'here'],
  ])
  assert.strictEqual(await response.text(), `localhost:${served.port}`)
})

each('200 fetches at once, and 50 more, use one connection', OTHERS, async (scope, get) => {
  const served = await http2Server(scope, {
    onRequest: (request, response) => response.end(request.url),
    settings: { maxConcurrentStreams: 1000 },
  })
  const one = async (path) => (await get(`https://localhost:${served.port}${path}`)).text()
  const paths = Array.from({ length: 200 }, (_, at) => `/${at}`)
  assert.deepStrictEqual(await Promise.all(paths.map(one)), paths)
  for (const path of paths.slice(0, 50)) assert.strictEqual(await one(path), path)
  assert.strictEqual(served.connections, 1)
})

each('bodies go both ways: whole, streamed, encoded, redirected', OTHERS, async (scope, get) => {
  const served = await http2Server(scope, {
    onRequest(request, response) {
      const chunks = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', () => {
        const body = Buffer.concat(chunks)
        if (request.url === '/moved') return response.writeHead(307, { location: '/echo' }).end('gone')
        if (request.url === '/gzip') {
          return response.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync('a'.repeat(200_000)))
        }
        response.writeHead(200, {
          'x-length': request.headers['content-length'] ?? 'none',
          'content-length': body.length,
        })
        response.end(body)
      })
    },
  })
  const url = (path) => `https://localhost:${served.port}${path}`
  const large = Buffer.alloc(3_000_000, 'keepwire')
  const whole = await get(url('/echo'), { method: 'POST', body: large })
  assert.strictEqual(whole.headers.get('x-length'), '3000000')
  assert.ok(large.equals(Buffer.from(await whole.arrayBuffer())))
  const body = stream(Buffer.from('one,'), large, Buffer.from('two'))
  const streamed = await get(url('/echo'), { method: 'PUT', body, duplex: 'half' })
  assert.strictEqual(streamed.headers.get('x-length'), 'none')
  assert.strictEqual(Buffer.from(await streamed.arrayBuffer()).length, 3_000_007)
  const moved = await get(url('/moved'), { method: 'POST', body: 'kept' })
  assert.deepStrictEqual([moved.redirected, await moved.text()], [true, 'kept'])
  assert.strictEqual((await (await get(url('/gzip'))).text()).length, 200_000)
  assert.strictEqual(served.connections, 1)
})

each('an abort ends its stream, and no other', {}, async (scope, get) => {
  const [asked, ended] = [deferred(), deferred()]
  let held = 0
  const served = await frameServer(scope, (peer, { type, stream, payload }) => {
    if (type === RST_STREAM && stream === held) ended.resolve(payload.readUInt32BE(0))
    if (type !== HEADERS) return
    if (held !== 0) return peer.send(answer(stream))
    held = stream
    asked.resolve()
  })
  const url = `https://localhost:${served.port}/`
  const control = new AbortController()
  const given = get(url, { signal: control.signal })
  await asked.promise
  const sibling = get(url)
  control.abort()
  await assert.rejects(given, { name: 'AbortError' })
  assert.strictEqual(await ended.promise, CANCEL)
  assert.strictEqual(await (await sibling).text(), 'ok')
  assert.strictEqual(served.connections, 1)
})

each('a stream that the server resets fails with its code, before the head and after it', {}, async (scope, get) => {
  let streams = 0
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type !== HEADERS) return
    streams += 1
    if (streams > 2) return peer.send(answer(stream))
    if (streams === 2) peer.send(head(stream, { 'content-length': '9' }), frame(DATA, 0, stream, 'part'))
    peer.send(reset(stream, INTERNAL_ERROR))
  })
  const url = `https://localhost:${served.port}/`
  const code = ({ cause }) => cause.code === 'ECONNRESET' && cause.http2Code === INTERNAL_ERROR
  await assert.rejects(get(url), code)
  await assert.rejects(async () => (await get(url)).text(), code)
  assert.strictEqual(await (await get(url)).text(), 'ok')
  assert.strictEqual(served.connections, 1)
})

each('GOAWAY and refusals lose no request, and repeat none', {}, async (scope, get) => {
  // Each session takes five requests; of a sixth and of every seventh stream it says that it has not looked at them.
  const seen = new Map()
  const bodies = new Map()
  let streams = 0
  const served = await frameServer(scope, (peer, { type, flags, stream, payload }) => {
    peer.taken ??= 0
    const key = `${peer.number}:${stream}`
    if (type === HEADERS) {
      streams += 1
      if (peer.taken >= 5 || streams % 7 === 0) {
        if (peer.taken < 5) peer.send(reset(stream, REFUSED_STREAM))
        return
      }
      peer.taken += 1
      bodies.set(key, '')
      if (peer.taken === 5) peer.send(goAway(stream, 0))
    }
    if (type === DATA && bodies.has(key)) bodies.set(key, bodies.get(key) + payload)
    if (!endsRequest({ type, flags }) || !bodies.has(key)) return
    const body = bodies.get(key)
    if (body !== '') seen.set(body, (seen.get(body) ?? 0) + 1)
    peer.send(answer(stream, body || 'got'))
  })
  const url = `https://localhost:${served.port}/`
  const posts = Array.from({ length: 60 }, (_, at) => `post-${at}`)
  const outcomes = []
  const work = async () => {
    for (let body = posts.pop(); body !== undefined; body = posts.pop()) {
      outcomes.push((await (await get(url, { method: 'POST', body })).text()) === body)
      outcomes.push((await (await get(url)).text()) === 'got')
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  assert.deepStrictEqual(outcomes, Array(120).fill(true))
  assert.deepStrictEqual([...new Set(seen.values())], [1])
  assert.strictEqual(seen.size, 60)
})

each('responses that nobody reads leave room for others', OTHERS, async (scope, get) => {
  const large = Buffer.alloc(8 * 1024 * 1024)
  const served = await http2Server(scope, {
    onRequest: (request, response) => response.end(request.url === '/large' ? large : 'small'),
    // It keeps all of them itself.
    options: { maxSessionMemory: 100 },
  })
  const url = (path) => `https://localhost:${served.port}${path}`
  const unread = await Promise.all([1, 2, 3].map(() => get(url('/large'))))
  assert.strictEqual(await (await get(url('/small'))).text(), 'small')
  assert.strictEqual((await unread[1].arrayBuffer()).byteLength, large.length)
  assert.strictEqual(served.connections, 1)
  for (const response of [unread[0], unread[2]]) await response.body.cancel()
})

each(
  'heads are as large as http.maxHeaderSize lets them be, and informational ones come to an end',
  {},
  async (scope, get) => {
    const early = Buffer.from([8, 3, ...Buffer.from('103')])
    const served = await frameServer(scope, (peer, { type, stream }) => {
      if (type !== HEADERS) return
      peer.asked = (peer.asked ?? 0) + 1
      if (peer.asked === 1) {
        const fields = Object.fromEntries(Array.from({ length: 120 }, (_, at) => [`x-${at}`, 'v'.repeat(100)]))
        peer.send(head(stream, fields), frame(DATA, END_STREAM, stream, 'read'))
      } else if (peer.asked === 2) {
        const fields = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`x-${at}`, 'v'.repeat(100)]))
        peer.send(head(stream, fields), frame(DATA, END_STREAM, stream, 'never'))
      } else {
        const more = () => {
          peer.send(...Array(100).fill(frame(HEADERS, END_HEADERS, stream, early)))
          if (!peer.socket.destroyed && !peer.isOver) setImmediate(more)
        }
        more()
        scope.defer(() => (peer.isOver = true))
      }
    })
    const url = `https://localhost:${served.port}/`
    const many = await get(url)
    assert.deepStrictEqual([many.headers.get('x-119')?.length, await many.text()], [100, 'read'])
    await assert.rejects(get(url), ({ cause }) => cause.code === 'UND_ERR_HEADERS_OVERFLOW')
    await assert.rejects(get(url), ({ cause }) => cause.code === 'ERR_HTTP2_ERROR')
  },
)
