'use strict'

// Requests that the thread which asks carries itself while few are under way: in Node's event loop, on Bun and Deno by looking for their
// response. What a request does is what all other tests are about, most of which have few under way; this is about who carries it, and the
// borders of that.

const assert = require('node:assert')
const { gzipSync } = require('node:zlib')

const { fetch, http: ownHttp, https: ownHttps } = require('..')
const { Submission } = require('../lib/bridge/commands')
const { BEGIN_IN_LOOP } = require('../lib/bridge/layout')
const { hasEventLoop, looksItself } = require('../lib/runtime/probes')
const { runScript } = require('./support/child')
const { failure, parallel, random, read, request, send } = require('./support/client')
const { IN_LOOP, lookForLonger, ran, restsDuring } = require('./support/io-thread')
const { chunkedReply, reply } = require('./support/peer')
const { test, testBoth } = require('./support/suite')
const { delay, once, repeatedly } = require('./support/wait')

/** So many at a time are carried by the thread that asks: in Node's event loop several, by looking one. */
const WIDTHS = looksItself ? [1] : [1, 3]

/** A server that answers with what it was asked for: `/length/delay`, in ms or never, `/length/delay/chunked`. */
function echo(scope) {
  return scope.peer(async ({ target }, connection) => {
    const [, length, wait, isChunked] = target.split('/')
    if (wait === 'never') return
    if (Number(wait) > 0) await delay(Number(wait))
    const body = 'x'.repeat(Number(length))
    connection.write(isChunked ? chunkedReply([body.slice(0, 3), body.slice(3)].filter(Boolean)) : reply(body))
  })
}

const own = (scope) => (scope.scheme === 'https' ? ownHttps : ownHttp)

testBoth('few requests cost the I/O thread next to nothing, many are its own', IN_LOOP, async (scope) => {
  const peer = await echo(scope)
  if (looksItself) lookForLonger(scope)
  const rounds = (agent, width) => async () => {
    const one = async () => {
      for (let i = 0; i < 200; i += 1)
        assert.strictEqual((await send({ port: peer.port, path: '/5/0', agent })).body, 'xxxxx')
    }
    await Promise.all(Array.from({ length: width }, one))
  }
  // A machine that is busy takes its time now and then, so that connections come back.
  await repeatedly(async () => {
    for (const width of WIDTHS) {
      const [few, all] = [
        rounds(scope.agent({ keepAlive: true }), width),
        rounds(scope.agent({ keepAlive: true, io: 'thread' }), width),
      ]
      await few()
      const [ofFew, ofAll] = [await restsDuring(few), await restsDuring(all)]
      assert.ok(ofFew < ofAll / 2, `${width} at a time: ${ofFew}, ${ofAll} with io: 'thread'`)
    }
  })
  const agent = scope.agent({ keepAlive: true, io: 'thread' })
  const mind = rounds(agent, 1)
  const before = await restsDuring(mind)
  agent.options.io = 'auto'
  await mind()
  await repeatedly(async () => assert.ok((await restsDuring(mind)) < before / 2, 'an agent that changed its mind'))
  const began = ran()
  await parallel(600, () => ({ port: peer.port, path: '/5/0', agent }))
  assert.ok(ran() - began > 3, 'many at a time')
})

test('many clients in step are not taken for few where they begin anew', IN_LOOP, async (scope) => {
  const peer = await echo(scope)
  const agent = scope.agent({ keepAlive: true })
  const { begin } = Submission.prototype
  let carried = 0
  Submission.prototype.begin = function (exchange, flags, ...rest) {
    if ((flags & BEGIN_IN_LOOP) !== 0) carried += 1
    begin.call(this, exchange, flags, ...rest)
  }
  scope.defer(() => {
    Submission.prototype.begin = begin
  })
  const one = { port: peer.port, path: '/5/0', agent }
  const client = async () => {
    for (let i = 0; i < 20; i += 1) await read(ownHttp.request(one).end())
  }
  const all = () => Promise.all(Array.from({ length: 50 }, client))
  await all()
  carried = 0
  await all()
  // At the end there are few.
  assert.ok(carried < 50, `${carried} of 1,000`)
  carried = 0
  for (let i = 0; i < 200; i += 1) await send(one)
  assert.ok(carried > 50, `${carried} of the last 200`)
})

test('requests that wait for their turn are not under way, however they end', {
  ...IN_LOOP,
  skip: !hasEventLoop && 'one at a time is carried here',
}, async (scope) => {
  const peer = await echo(scope)
  const agent = scope.agent({ keepAlive: true, maxSockets: 4, queueTimeout: 20 })
  const { begin } = Submission.prototype
  let carried = 0
  Submission.prototype.begin = function (exchange, flags, ...rest) {
    if ((flags & BEGIN_IN_LOOP) !== 0) carried += 1
    begin.call(this, exchange, flags, ...rest)
  }
  scope.defer(() => {
    Submission.prototype.begin = begin
  })
  const many = (path, options) =>
    Promise.allSettled(Array.from({ length: 200 }, () => send({ port: peer.port, path, agent, ...options })))
  await many('/5/0')
  // Some give up while they wait, and some have waited for too long.
  await many('/5/40', { signal: AbortSignal.timeout(10) })
  await many('/5/40')
  agent.options.queueTimeout = 0
  await repeatedly(async () => {
    carried = 0
    await many('/5/0')
    assert.ok(carried > 100, `${carried} of 200 beside others that wait`)
  })
  carried = 0
  const fifty = scope.agent({ keepAlive: true })
  const at = () => Promise.all(Array.from({ length: 50 }, () => send({ port: peer.port, path: '/5/0', agent: fifty })))
  for (let i = 0; i < 5; i += 1) await at()
  assert.ok(carried < 50, `${carried} of 250 that are all under way`)
})

test('io is one of its values, at construction and later', { ours: 'has no such option' }, async (scope) => {
  for (const io of ['loop', true, null, 1]) {
    assert.throws(() => scope.agent({ io }), { code: 'ERR_INVALID_ARG_VALUE' }, String(io))
  }
})

testBoth('whatever a response is like, it is whole, wherever it was carried to its end', IN_LOOP, async (scope) => {
  const peer = await echo(scope)
  const agent = scope.agent({ keepAlive: true, headersTimeout: 20_000, maxSockets: 4 })
  const next = random(7)
  const worker = async (/** @type {number} */ number) => {
    for (let i = 0; i < 120; i += 1) {
      const length = next() < 0.8 ? Math.floor(next() * 2_000) : Math.floor(next() * 200_000)
      const wait = next() < 0.9 ? 0 : Math.floor(next() * 60)
      const path = `/${length}/${wait}${next() < 0.3 ? '/chunked' : ''}`
      const options = { host: '127.0.0.1', port: peer.port, path, agent, ca: scope.identity?.cert }
      const isPost = next() < 0.4
      const sent = number % 2 === 0 ? request(options) : own(scope).request(options)
      if (isPost) {
        sent.method = 'POST'
        const body = 'y'.repeat(Math.floor(next() * 3_000))
        sent.setHeader('content-length', body.length)
        const half = Math.floor(body.length / 2)
        sent.write(body.slice(0, half))
        if (next() < 0.5) await delay(0)
        sent.end(body.slice(half))
      } else sent.end()
      assert.strictEqual((await read(sent)).body.length, length, path)
    }
  }
  await Promise.all(Array.from({ length: 6 }, (_, number) => worker(number)))
})

/** Large bodies, which show whether a part of them is missing, doubled or elsewhere. */
const PATTERN = Array.from({ length: 700_000 }, (_, at) => at.toString(36).padStart(4, '0')).join(' ')

/** A server of PATTERN's beginning: `/length`, `/length/chunked`. */
const patterns = (scope) =>
  scope.peer(({ target }, connection) => {
    const [, length, isChunked] = target.split('/')
    const body = PATTERN.slice(0, Number(length))
    if (!isChunked) return connection.write(reply(body))
    const cuts = Array.from({ length: Math.ceil(body.length / 30_000) }, (_, at) => at * 30_000)
    return connection.write(chunkedReply(cuts.map((at) => body.slice(at, at + 30_000))))
  })

testBoth(
  'a body of up to 2 MiB costs the I/O thread next to nothing while nothing else is under way',
  { ...IN_LOOP, skip: IN_LOOP.skip || (!hasEventLoop && 'who looks for it has it waited for on the I/O thread') },
  async (scope) => {
    const peer = await patterns(scope)
    const rounds = (agent) => async () => {
      for (let i = 0; i < 30; i += 1) await send({ port: peer.port, path: '/5', agent })
      for (let i = 0; i < 20; i += 1) {
        const { body } = await send({ port: peer.port, path: '/1000000', agent })
        assert.ok(body === PATTERN.slice(0, 1_000_000))
      }
    }
    const [lone, all] = [
      rounds(scope.agent({ keepAlive: true })),
      rounds(scope.agent({ keepAlive: true, io: 'thread' })),
    ]
    await repeatedly(async () => {
      await lone()
      const [ofLone, ofAll] = [await restsDuring(lone), await restsDuring(all)]
      assert.ok(ofLone < ofAll / 3, `${ofLone}, ${ofAll} with io: 'thread'`)
    })
  },
)

testBoth('a large body is whole whatever its reader does, and whatever begins beside it', IN_LOOP, async (scope) => {
  const peer = await patterns(scope)
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const options = { host: '127.0.0.1', port: peer.port, agent, ca: scope.identity?.cert }
  const next = random(13)
  const small = () => send({ port: peer.port, path: '/5', agent })
  const begun = []
  const readers = {
    flows: () => {},
    pauses: (response) => {
      response.once('data', () => {
        response.pause()
        setTimeout(() => response.resume(), Math.floor(next() * 80))
      })
    },
    'pauses for a turn': (response) => {
      response.on('data', () => {
        response.pause()
        setImmediate(() => response.resume())
      })
    },
    'gives up': (response) => {
      response.once('data', () => response.destroy())
    },
    'asks for more': (response) => {
      response.once('data', () => begun.push(small()))
    },
  }
  const names = Object.keys(readers)
  for (let i = 0; i < 120; i += 1) {
    if (i % 10 === 0) for (let k = 0; k < 10; k += 1) await small()
    const length = Math.floor(next() * (next() < 0.2 ? 3_400_000 : 900_000))
    const path = `/${length}${next() < 0.3 ? '/chunked' : ''}`
    const reader = names[Math.floor(next() * names.length)]
    const sent = i % 2 === 0 ? request({ ...options, path }) : own(scope).request({ ...options, path })
    const what = `${path} ${reader}`
    sent.on('response', readers[reader])
    if (reader === 'gives up') {
      sent.on('error', () => {}).end()
      await once(sent, 'close')
      continue
    }
    const { body } = await read(sent.end())
    assert.ok(body === PATTERN.slice(0, length), `${what}: ${body.length}`)
  }
  await Promise.all(begun)
})

testBoth('fetches cost the I/O thread next to nothing, too, while they are few', IN_LOOP, async (scope) => {
  const peer = await echo(scope)
  if (looksItself) lookForLonger(scope)
  const rounds = (agent) => async () => {
    for (let i = 0; i < 200; i += 1) {
      const response = await fetch(`${scope.scheme}://127.0.0.1:${peer.port}/5/0`, { agent })
      assert.strictEqual(await response.text(), 'xxxxx')
    }
  }
  const [few, all] = [rounds(scope.agent({ keepAlive: true })), rounds(scope.agent({ keepAlive: true, io: 'thread' }))]
  await repeatedly(async () => {
    await few()
    const [ofFew, ofAll] = [await restsDuring(few), await restsDuring(all)]
    assert.ok(ofFew < ofAll / 2, `${ofFew}, ${ofAll} with io: 'thread'`)
  })
})

testBoth('a fetched body is whole, wherever it was carried, decoded and read', IN_LOOP, async (scope) => {
  const bodyOf = (/** @type {number} */ length) => 'x'.repeat(length / 2) + 'y'.repeat(length - Math.floor(length / 2))
  const peer = await scope.peer(async ({ target }, connection) => {
    const [, length, wait, kind] = target.split('/')
    const body = bodyOf(Number(length))
    const zipped = gzipSync(body).toString('latin1')
    const cut = zipped.length >> 1
    const whole = {
      plain: () => reply(body),
      chunked: () => chunkedReply([body.slice(0, 9), body.slice(9)].filter(Boolean)),
      gzip: () => reply(zipped, ['Content-Encoding: gzip']),
      both: () => chunkedReply([zipped.slice(0, cut), zipped.slice(cut)], ['Content-Encoding: gzip']),
    }[kind]()
    // In two pieces: behind the head, within it, or within the body.
    const at = Number(wait) === 0 ? whole.length : Math.floor((whole.length * Number(wait)) / 10)
    connection.write(whole.slice(0, at))
    if (at === whole.length) return
    await delay(Number(wait) % 3)
    connection.write(whole.slice(at))
  })
  const next = random(11)
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  const reads = {
    text: (response) => response.text(),
    bytes: async (response) => Buffer.from(await response.arrayBuffer()).toString('latin1'),
    pieces: async (response) => {
      let text = ''
      for await (const piece of response.body) text += Buffer.from(piece).toString('latin1')
      return text
    },
    late: async (response) => {
      await delay(2)
      return response.text()
    },
  }
  const client = async () => {
    for (let i = 0; i < 150; i += 1) {
      const length = next() < 0.9 ? Math.floor(next() * 3_000) : Math.floor(next() * 300_000)
      const wait = next() < 0.6 ? 0 : 1 + Math.floor(next() * 9)
      const kind = ['plain', 'chunked', 'gzip', 'both'][Math.floor(next() * 4)]
      const url = `${scope.scheme}://127.0.0.1:${peer.port}/${length}/${wait}/${kind}`
      if (next() < 0.1) {
        const gone = new AbortController()
        const given = fetch(url, { agent, signal: gone.signal }).then((response) => response.text())
        setTimeout(() => gone.abort(), Math.floor(next() * 3))
        await given.catch((error) => assert.strictEqual(error.name, 'AbortError'))
        continue
      }
      const response = await fetch(url, { agent })
      const read = Object.values(reads)[Math.floor(next() * 4)]
      assert.strictEqual(await read(response), bodyOf(length), url)
    }
  }
  await client()
  await Promise.all([client(), client(), client()])
})

testBoth('content that can not be decoded gives its place back, wherever it was carried', IN_LOOP, async (scope) => {
  const peer = await scope.peer(({ target }, connection) =>
    connection.write(target === '/broken' ? reply('no gzip', ['Content-Encoding: gzip']) : reply()),
  )
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const text = async (path) => (await fetch(`${scope.scheme}://127.0.0.1:${peer.port}${path}`, { agent })).text()
  for (let round = 0; round < 5; round += 1) {
    for (let i = 0; i < 10; i += 1) assert.strictEqual(await text('/'), 'ok')
    await assert.rejects(text('/broken'))
  }
  // The place is free, else this waits for ever.
  assert.strictEqual(await text('/'), 'ok')
})

testBoth('deadlines hold, also while the thread computes', IN_LOOP, async (scope) => {
  const peer = await echo(scope)
  const agent = scope.agent({ keepAlive: true, headersTimeout: 600 })
  const quick = { port: peer.port, path: '/5/0', agent }
  for (let i = 0; i < 20; i += 1) await send(quick)
  const began = performance.now()
  const late = failure(send({ ...quick, path: '/5/never' }))
  await delay(10)
  // The I/O thread has it by then.
  const busyUntil = performance.now() + 400
  while (performance.now() < busyUntil);
  assert.strictEqual((await late).code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
  const took = performance.now() - began
  assert.ok(took >= 595, String(took))
  assert.strictEqual((await send(quick)).body, 'xxxxx')
})

testBoth('a server that hangs up while the thread computes loses no request', IN_LOOP, async (scope) => {
  const connections = []
  const peer = await scope.peer((_, connection) => {
    connections.push(connection)
    connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  for (let round = 0; round < 5; round += 1) {
    for (let i = 0; i < 20; i += 1) await send({ port: peer.port, agent, method: 'POST' })
    const connection = connections.at(-1)
    // At once, and not in the loop's next turn.
    connection.socket.destroy()
    const busyUntil = performance.now() + 20
    while (performance.now() < busyUntil);
    const answer = await send({ port: peer.port, agent, method: 'POST' }, 'x')
    assert.strictEqual(answer.body, 'ok')
  }
})

testBoth('a deadline runs from when its own exchange last came on', IN_LOOP, async (scope) => {
  const peer = await scope.peer(async ({ target }, connection) => {
    if (target === '/late') await delay(80)
    if (target === '/chunks') return connection.write(chunkedReply(Array(500).fill('x')))
    if (target !== '/drips') return connection.write(reply('ok'))
    const pieces = ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', ...Array(150).fill('1\r\nx\r\n')]
    for (const piece of pieces) {
      connection.write(piece)
      await delay(4)
    }
    await delay(100)
    return connection.write('0\r\n\r\n')
  })
  const agent = scope.agent({ keepAlive: true, headersTimeout: 600, bodyTimeout: 600 })
  const get = (path) => send({ port: peer.port, path, agent })
  // Longer than the deadline, in exchanges of equal length.
  const until = performance.now() + 800
  while (performance.now() < until) await get('/fast')
  assert.strictEqual((await get('/late')).body, 'ok')
  for (let i = 0; i < 100; i += 1) await get('/fast')
  assert.strictEqual((await get('/drips')).body.length, 150)
  // All of it is there, and more than one turn tells; the next request comes when its deadline would be over.
  for (let i = 0; i < 100; i += 1) await get('/fast')
  assert.strictEqual((await get('/chunks')).body.length, 500)
  await delay(700)
  assert.strictEqual((await get('/late')).body, 'ok')
})

testBoth('a body that is none is told along with what came before it', IN_LOOP, async (scope) => {
  const peer = await scope.peer(({ target }, connection) => {
    const body = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n'
    connection.write(target === '/none' ? body : reply('ok'))
  })
  const order = async (agent) => {
    for (let i = 0; i < 20; i += 1) await send({ port: peer.port, agent })
    const told = []
    const sent = request({ port: peer.port, path: '/none', agent })
    sent.on('error', ({ code }) => told.push(code))
    sent.on('response', (response) => {
      response.on('data', () => told.push('data')).on('error', ({ code }) => told.push(code))
    })
    sent.end()
    await new Promise((resolve) => sent.on('close', resolve))
    return told
  }
  const expected = await order(scope.agent({ keepAlive: true, io: 'thread' }))
  assert.deepStrictEqual(await order(scope.agent({ keepAlive: true })), expected)
})

testBoth('a head that comes in drips is held to its deadline', IN_LOOP, async (scope) => {
  const peer = await scope.peer(async ({ target }, connection) => {
    if (target !== '/drips') return connection.write(reply('ok'))
    for (const byte of reply('ok', [`X: ${'x'.repeat(2_000)}`])) {
      connection.write(byte)
      await delay(8)
      if (connection.socket.destroyed) return
    }
  })
  const agent = scope.agent({ keepAlive: true, headersTimeout: 700 })
  for (let i = 0; i < 20; i += 1) await send({ port: peer.port, agent })
  const error = await failure(send({ port: peer.port, path: '/drips', agent }))
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
})

testBoth('an end that comes along with the last bytes is heard of, of each of several', IN_LOOP, async (scope) => {
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/end') connection.end('HTTP/1.1 200 OK\r\n\r\nuntil the end')
    else if (target === '/large') connection.end(`HTTP/1.1 200 OK\r\n\r\n${PATTERN.slice(0, 600_000)}`)
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  const three = (path) => Promise.all([1, 2, 3].map(() => send({ port: peer.port, path, agent })))
  // Alone, more than is read before its reader has had some of it: the end is there by then.
  const late = async () => {
    for (let i = 0; i < 10; i += 1) await send({ port: peer.port, agent })
    const [response] = await once(request({ port: peer.port, path: '/large', agent }).end(), 'response')
    await delay(8)
    const began = performance.now()
    let length = 0
    for await (const piece of response) length += piece.length
    assert.strictEqual(length, 600_000)
    return performance.now() - began
  }
  await repeatedly(async () => {
    for (let round = 0; round < 12; round += 1) {
      const took = await late()
      assert.ok(took < 90, `${took} in round ${round}`)
    }
  })
  await repeatedly(async () => {
    for (let i = 0; i < 10; i += 1) await three('/')
    const began = performance.now()
    for (const { body } of await three('/end')) assert.strictEqual(body, 'until the end')
    const took = performance.now() - began
    // Else it is seen when somebody looks after what is away.
    assert.ok(took < 90, String(took))
  })
})

testBoth('who destroys a request whose response has more behind it holds nobody up', IN_LOOP, async (scope) => {
  const waiting = new Map()
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/') return connection.write(reply('ok'))
    waiting.set(target, connection)
    if (waiting.size < 2) return
    waiting.get('/first').write(reply('ok'))
    waiting.get('/second').write(`${reply('ok')}GARBAGE\r\n\r\n`)
    waiting.clear()
  })
  const agent = scope.agent({ keepAlive: true })
  const get = (path) => request({ port: peer.port, path, agent })
  for (let round = 0; round < 40; round += 1) {
    for (let i = 0; i < 4; i += 1)
      await Promise.all([send({ port: peer.port, agent }), send({ port: peer.port, agent })])
    const second = get('/second')
    const closed = new Promise((resolve) => second.on('error', () => {}).on('close', resolve))
    second.on('response', (response) => response.on('error', () => {}).resume())
    second.end()
    const first = get('/first')
    first.on('response', () => second.destroy())
    const answer = read(first)
    first.end()
    assert.strictEqual((await answer).body, 'ok')
    await closed
  }
})

test('what a callback throws is an uncaught exception, and the next request goes on', IN_LOOP, async () => {
  const { code, lines, stderr } = await runScript('in-loop', ['throws'])
  assert.deepStrictEqual([code, lines], [0, [{ thrown: 20, answered: 40 }]], stderr)
})

test('the store of whoever asked is there in its callbacks', IN_LOOP, async () => {
  const { code, lines, stderr } = await runScript('in-loop', ['stores'])
  assert.deepStrictEqual([code, lines], [0, [{ right: 60, wrong: 0 }]], stderr)
})

test('the process, and a worker, may end within a callback', IN_LOOP, async () => {
  const exits = await runScript('in-loop', ['exits'])
  assert.deepStrictEqual([exits.code, exits.signal], [7, null], exits.stderr)
  const { code, lines, stderr } = await runScript('in-loop', ['workers'])
  assert.deepStrictEqual([code, lines], [0, [{ ended: 12, answered: 30 }]], stderr)
})
