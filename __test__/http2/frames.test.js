'use strict'

// Against a server that is scripted frame by frame: each way a stream or a session can end, and servers that mean harm.

const assert = require('node:assert')

const { http2Agent, outcome } = require('../support/http2')
const frames = require('../support/frames')
const { test } = require('../support/suite')

const { ACK, answer, CONTINUATION, DATA, END_HEADERS, END_STREAM, endsRequest, frame, frameServer, goAway } = frames
const { HEADERS, PING, reset, RST_STREAM, SETTINGS, settings, STATUS_200, WINDOW_UPDATE, words } = frames

const NO_ERROR = 0
const PROTOCOL_ERROR = 1
const INTERNAL_ERROR = 2
const REFUSED_STREAM = 7
const ENHANCE_YOUR_CALM = 11
const HTTP_1_1_REQUIRED = 13

const MAX_CONCURRENT_STREAMS = 3

const short = ({ body, error, lateError }) => (error ?? lateError)?.code ?? body
const all = (count, what) => Array(count).fill(what)

async function burst(count, options, how) {
  const outcomes = await Promise.all(Array.from({ length: count }, () => outcome(options, how)))
  return outcomes.map(short)
}

test('RST_STREAM is told as ECONNRESET with its code, before the head and after it', async (scope) => {
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type !== HEADERS) return
    if (stream === 1) peer.send(reset(stream, INTERNAL_ERROR))
    else if (stream === 3) {
      peer.send(frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream, 'part'))
      peer.send(reset(stream, INTERNAL_ERROR))
    } else peer.send(answer(stream))
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent }
  const early = await outcome(options)
  assert.deepStrictEqual([early.error.code, early.error.http2Code], ['ECONNRESET', INTERNAL_ERROR])
  assert.match(early.error.message, /NGHTTP2_INTERNAL_ERROR/)
})

test('RST_STREAM hurts no sibling, and its session goes on', async (scope) => {
  const held = []
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type !== HEADERS) return
    held.push(stream)
    if (held.length === 3) {
      peer.send(reset(held[0], INTERNAL_ERROR))
      peer.send(frame(HEADERS, END_HEADERS, held[1], STATUS_200), frame(DATA, 0, held[1], 'part'))
      peer.send(reset(held[1], INTERNAL_ERROR), answer(held[2]))
    } else if (held.length > 3) peer.send(answer(stream))
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent }
  const told = (await burst(3, options)).sort()
  assert.deepStrictEqual(told, ['ECONNRESET', 'ECONNRESET', 'ok'])
  assert.strictEqual(short(await outcome(options)), 'ok')
  assert.strictEqual(served.connections, 1)
})

test('RST_STREAM with NO_ERROR behind a complete response ends the upload, and the response stands', async (scope) => {
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type === HEADERS) peer.send(answer(stream, 'enough'), reset(stream, NO_ERROR))
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  // More than the windows of a server that gives none.
  const result = await outcome(options, { body: Buffer.alloc(1 << 20) })
  assert.strictEqual(short(result), 'enough')
})

test('a refused stream goes to another connection, a POST whose body is under way as well', async (scope) => {
  const refused = new Set()
  const served = await frameServer(scope, (peer, { type, stream, ...rest }) => {
    if (peer.number === 1) {
      if (type === HEADERS) {
        refused.add(stream)
        peer.send(reset(stream, REFUSED_STREAM))
      }
    } else if (endsRequest({ type, ...rest })) peer.send(answer(stream, `by ${peer.number}`))
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  const result = await outcome(options, {
    use(request) {
      request.write('first half, ')
      // The second comes when the first has been refused.
      const wait = () => (refused.size > 0 ? request.end('second half') : setImmediate(wait))
      wait()
    },
  })
  assert.strictEqual(short(result), 'by 2')
})

test('a server that refuses everything ends the request with its code', async (scope) => {
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type === HEADERS) peer.send(reset(stream, REFUSED_STREAM))
  })
  const agent = await http2Agent(scope)
  const { error } = await outcome({ port: served.port, agent })
  assert.deepStrictEqual([error.code, error.http2Code], ['ECONNRESET', REFUSED_STREAM])
  assert.ok(served.connections < 40)
})

/** Where a first connection says GOAWAY, and up to which stream it has looked: what follows is sent again elsewhere. */
const points = {
  'before a stream': { when: ({ type }) => type === SETTINGS, last: 0 },
  'when the first stream opens': { when: ({ type }) => type === HEADERS, last: 0 },
  'when the request is complete': { when: endsRequest, last: 0 },
}
for (const [point, { when, last }] of Object.entries(points)) {
  for (const code of [NO_ERROR, ENHANCE_YOUR_CALM]) {
    for (const ends of [true, false]) {
      const then = ends ? 'and closes' : 'and stays'
      test(`GOAWAY ${code} ${point} ${then}: POSTs are answered elsewhere, each once`, async (scope) => {
        let answered = 0
        let gone = false
        const served = await frameServer(scope, (peer, received) => {
          if (peer.number === 1) {
            if (!when(received) || gone) return
            gone = true
            peer.send(goAway(last, code))
            if (ends) peer.end()
            return
          }
          if (!endsRequest(received)) return
          answered += 1
          peer.send(answer(received.stream))
        })
        const agent = await http2Agent(scope)
        const options = { port: served.port, agent, method: 'POST' }
        assert.deepStrictEqual(await burst(10, options, { body: 'x' }), all(10, 'ok'))
        assert.strictEqual(answered, 10)
      })
    }
  }
}

test('GOAWAY in the midst of streams: those up to its last one are answered, the others move', async (scope) => {
  const streams = []
  const served = await frameServer(scope, (peer, { type, stream, ...rest }) => {
    if (!endsRequest({ type, ...rest })) return
    if (peer.number > 1) return peer.send(answer(stream, 'second'))
    streams.push(stream)
    if (streams.length < 6) return
    peer.send(goAway(streams[2], NO_ERROR))
    for (const each of streams.slice(0, 3)) peer.send(answer(each, 'first'))
  })
  const agent = await http2Agent(scope)
  const told = (await burst(6, { port: served.port, agent, method: 'POST' }, { body: 'x' })).sort()
  assert.deepStrictEqual(told, [...all(3, 'first'), ...all(3, 'second')])
  assert.strictEqual(served.connections, 2)
})

test('a server that requires HTTP/1.1 and speaks it nowhere fails the request', async (scope) => {
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type === HEADERS) peer.send(reset(stream, HTTP_1_1_REQUIRED))
  })
  const agent = await http2Agent(scope)
  const { error } = await outcome({ port: served.port, agent })
  assert.ok(error instanceof Error)
})

test('streams are opened one at a time while the server has not said how many it takes', async (scope) => {
  let opened = 0
  let late = false
  const served = await frameServer(
    scope,
    (peer, { type, stream }) => {
      if (type !== HEADERS) return
      opened += 1
      if (!late) {
        assert.strictEqual(opened, 1)
        late = true
        setImmediate(() => peer.send(settings({ [MAX_CONCURRENT_STREAMS]: 100 }), answer(stream)))
      } else peer.send(answer(stream))
    },
    Buffer.alloc(0),
  )
  const agent = await http2Agent(scope)
  assert.deepStrictEqual(await burst(20, { port: served.port, agent }), all(20, 'ok'))
  assert.strictEqual(served.connections, 1)
})

test('a window that grows byte by byte lets an upload through', async (scope) => {
  const SIZE = 200
  let received = 0
  const served = await frameServer(
    scope,
    (peer, { type, flags, stream, payload }) => {
      if (type === HEADERS) peer.send(frame(WINDOW_UPDATE, 0, stream, words(1)))
      if (type !== DATA) return
      received += payload.length
      if ((flags & END_STREAM) !== 0) peer.send(answer(stream, String(received)))
      else if (payload.length > 0) peer.send(frame(WINDOW_UPDATE, 0, stream, words(1)))
    },
    settings({ 4: 0 }),
  )
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  assert.strictEqual(short(await outcome(options, { body: Buffer.alloc(SIZE) })), String(SIZE))
})

/** What a server may send in place of an answer; each must end in an error, or be borne, in bounded time and memory. */
const hostile = {
  'a push': (stream) => frame(5, END_HEADERS, stream, Buffer.concat([words(2), Buffer.from([0x82])])),
  'DATA before a head': (stream) => frame(DATA, 0, stream, 'x'),
  'HEADERS for a stream that nobody opened': () => frame(HEADERS, END_HEADERS, 999, STATUS_200),
  'a frame larger than allowed': (stream) => frame(DATA, 0, stream, Buffer.alloc(1 << 20)),
  'a head without a status': (stream) => frame(HEADERS, END_HEADERS | END_STREAM, stream, Buffer.alloc(0)),
  'broken header compression': (stream) => frame(HEADERS, END_HEADERS, stream, Buffer.alloc(64, 0xff)),
  'a window beyond all bounds': () => frame(WINDOW_UPDATE, 0, 0, words(0x7fffffff)),
  'a window of nothing more': () => frame(WINDOW_UPDATE, 0, 0, words(0)),
  'settings that make no sense': () => settings({ 5: 1 }),
  'HEADERS for a stream that only a server opens': () => frame(HEADERS, END_HEADERS, 2, STATUS_200),
  'a goodbye that takes itself back': () => Buffer.concat([goAway(1, NO_ERROR), goAway(101, NO_ERROR)]),
  'CONTINUATION without end': (stream) =>
    Buffer.concat([
      frame(HEADERS, 0, stream, STATUS_200),
      ...all(4000, frame(CONTINUATION, 0, stream, Buffer.alloc(16_000, 0x41))),
    ]),
  'more headers than anybody wants': (stream) => {
    // One literal that is kept, then the number of it, again and again: a bomb.
    const literal = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x62)])
    const block = Buffer.concat([STATUS_200, literal, Buffer.alloc(12_000, 0xbe)])
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
  },
  'no HTTP/2 at all': () => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
}
for (const [what, make] of Object.entries(hostile)) {
  test(`a server that sends ${what} fails its request, and the next session works`, async (scope) => {
    const served = await frameServer(scope, (peer, received) => {
      if (!endsRequest(received)) return
      peer.send(peer.number === 1 ? make(received.stream) : answer(received.stream))
    })
    const agent = await http2Agent(scope, { headersTimeout: 10_000, bodyTimeout: 10_000 })
    const options = { port: served.port, agent, method: 'POST' }
    const { error, lateError, status } = await outcome(options, { body: 'x' })
    assert.ok((error ?? lateError) instanceof Error, `status ${status}`)
    assert.doesNotMatch(String((error ?? lateError).code), /TIMEOUT/)
    const next = short(await outcome(options, { body: 'x' }))
    // A stream may have failed alone.
    assert.ok(next === 'ok' || served.connections === 1, next)
  })
}

test('a window that is taken back in the midst of an upload stops it, and a larger one lets it go on', async (scope) => {
  const SIZE = 100_000
  const sizes = []
  const served = await frameServer(scope, (peer, { type, flags, stream, payload }) => {
    if (type !== DATA) return
    sizes.push(payload.length)
    const received = sizes.reduce((sum, size) => sum + size)
    peer.send(frame(WINDOW_UPDATE, 0, 0, words(Math.max(1, payload.length))))
    // What is under way already is more than it allows from now on.
    if (sizes.length === 1) peer.send(settings({ 4: 0 }))
    if (sizes.length > 1 && received < SIZE) peer.send(frame(WINDOW_UPDATE, 0, stream, words(20_000)))
    if (received === 65_535) peer.send(settings({ 4: 65_535 }))
    if ((flags & END_STREAM) !== 0) peer.send(answer(stream, String(received)))
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent, method: 'POST' }
  assert.strictEqual(short(await outcome(options, { body: Buffer.alloc(SIZE) })), String(SIZE))
})

test('an upload that gets no window at all ends with its deadline, and the session goes on', async (scope) => {
  const served = await frameServer(
    scope,
    (peer, { type, flags, stream }) => {
      if (type === HEADERS && (flags & END_STREAM) !== 0) peer.send(answer(stream))
    },
    settings({ 4: 0 }),
  )
  const agent = await http2Agent(scope, { headersTimeout: 300 })
  const options = { port: served.port, agent }
  assert.strictEqual(short(await outcome(options)), 'ok')
  const uploads = burst(3, { ...options, method: 'POST' }, { body: Buffer.alloc(1000) })
  assert.strictEqual(short(await outcome(options)), 'ok')
  assert.deepStrictEqual(await uploads, all(3, 'ERR_KEEPWIRE_HEADERS_TIMEOUT'))
  assert.strictEqual(short(await outcome(options)), 'ok')
  assert.strictEqual(served.connections, 1)
})

test('what comes for streams that were given up hurts no sibling, however many there were', async (scope) => {
  const given = []
  let late = 0
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type === RST_STREAM) {
      // As if it had been on its way.
      late += 1
      peer.send(frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream, 'late'))
    } else if (type === HEADERS) given.push([peer, stream])
  })
  const agent = await http2Agent(scope)
  const options = { port: served.port, agent }
  const sibling = outcome(options)
  while (given.length < 1) await new Promise(setImmediate)
  const ROUNDS = 20
  const EACH = 60
  for (let round = 0; round < ROUNDS; round++) {
    const requests = []
    const ended = burst(EACH, options, { use: (request) => requests.push(request.end()) })
    while (given.length < 1 + (round + 1) * EACH) await new Promise(setImmediate)
    for (const request of requests) request.destroy()
    assert.deepStrictEqual(await ended, all(EACH, 'ECONNRESET'))
  }
  while (late < ROUNDS * EACH) await new Promise(setImmediate)
  const [peer, stream] = given[0]
  peer.send(answer(stream))
  assert.strictEqual(short(await sibling), 'ok')
  assert.strictEqual(served.connections, 1)
})

const floods = {
  PING: () => frame(PING, 0, 0, Buffer.alloc(8)),
  SETTINGS: () => settings({ 1: 4096 }),
  'empty DATA': (stream) => frame(DATA, 0, stream),
  WINDOW_UPDATE: () => frame(WINDOW_UPDATE, 0, 0, words(1)),
  '1xx': (stream) => frame(HEADERS, END_HEADERS, stream, Buffer.from([0x08, 3, 0x31, 0x30, 0x33])),
}
for (const [what, make] of Object.entries(floods)) {
  test(`a flood of ${what} frames is borne or refused, and stops nobody else`, async (scope) => {
    const flooding = await frameServer(scope, (peer, received) => {
      if (!endsRequest(received)) return
      const { stream } = received
      const head = what === 'empty DATA' ? [frame(HEADERS, END_HEADERS, stream, STATUS_200)] : []
      peer.send(
        ...head,
        ...all(20_000, make(stream)),
        what === 'empty DATA' ? frame(DATA, END_STREAM, stream) : answer(stream),
      )
    })
    const quiet = await frameServer(scope, (peer, received) => {
      if (endsRequest(received)) peer.send(answer(received.stream))
    })
    const agent = await http2Agent(scope)
    const under = outcome({ port: flooding.port, agent })
    assert.deepStrictEqual(await burst(10, { port: quiet.port, agent }), all(10, 'ok'))
    const { body, error, lateError } = await under
    assert.ok(body !== undefined || error !== undefined || lateError !== undefined)
  })
}

test('a session outlives any number of empty frames of data, by which servers flush', async (scope) => {
  const served = await frameServer(scope, (peer, received) => {
    if (!endsRequest(received)) return
    const { stream } = received
    const empty = all(50, frame(DATA, 0, stream))
    const [head, first] = [frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream, 'be')]
    peer.send(head, ...empty, first, ...empty, frame(DATA, END_STREAM, stream, 'gun'))
  })
  const agent = await http2Agent(scope)
  for (let round = 0; round < 20; round++) {
    assert.deepStrictEqual(await burst(10, { port: served.port, agent }), all(10, 'begun'))
  }
  assert.strictEqual(served.connections, 1)
})

test('resets of all streams, again and again, end each request once', async (scope) => {
  const served = await frameServer(scope, (peer, { type, stream }) => {
    if (type === HEADERS) peer.send(reset(stream, PROTOCOL_ERROR))
    if (type === RST_STREAM) peer.send(frame(PING, ACK, 0, Buffer.alloc(8)))
  })
  const agent = await http2Agent(scope, { maxSockets: 20 })
  const options = { port: served.port, agent }
  for (let round = 0; round < 20; round++) assert.deepStrictEqual(await burst(20, options), all(20, 'ECONNRESET'))
})
