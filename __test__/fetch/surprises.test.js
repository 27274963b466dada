'use strict'

// What a fetch does when a server, the network or the program does not behave.

const assert = require('node:assert')

const { fetch, stats } = require('../..')
const { runScript } = require('../support/child')
const { DEAD_PORT, reply } = require('../support/peer')
const { startRemote } = require('../support/remote')
const { isDeno } = require('../support/runtime')
const { test } = require('../support/suite')
const { deferred, settled, turns, until, withMoreTime } = require('../support/wait')

/** Idle connections of fetches belong to the process: they end with the server. */
async function fetchPeer(scope, handlers) {
  const peer = await scope.peer(handlers)
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  return { peer, origin: `http://127.0.0.1:${peer.port}` }
}

const counts = (peer, target) => peer.requests.filter((request) => request.target === target).length

test('a POST that a server drops unanswered on a reused connection is seen by it once', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target === '/drop') connection.socket.destroy()
    else connection.write(reply())
  })
  for (let i = 0; i < 20; i++) {
    await (await fetch(`${origin}/`)).text()
    await assert.rejects(fetch(`${origin}/drop`, { method: 'POST', body: 'once' }), (error) => {
      assert.ok(error instanceof TypeError)
      assert.ok(['UND_ERR_SOCKET', 'ECONNRESET'].includes(error.cause.code), error.cause.code)
      return true
    })
    assert.strictEqual(counts(peer, '/drop'), i + 1)
  }
})

for (const method of ['GET', 'HEAD', 'OPTIONS']) {
  test(`a ${method} that a server drops unanswered on a reused connection is sent once more, on a fresh one`, async (scope) => {
    let drops = 0
    const { peer, origin } = await fetchPeer(scope, (request, connection) => {
      if (request.target === '/once' && drops++ === 0) connection.socket.destroy()
      else connection.write(request.method === 'HEAD' ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n' : reply())
    })
    await (await fetch(`${origin}/`)).text()
    const response = await fetch(`${origin}/once`, { method })
    assert.strictEqual(response.status, 200)
    await response.text()
    assert.strictEqual(counts(peer, '/once'), 2)
    assert.strictEqual(peer.accepted, 2)
  })
}

test('a GET that is dropped each time is sent twice, and fails', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target === '/drop') connection.socket.destroy()
    else connection.write(reply())
  })
  await (await fetch(`${origin}/`)).text()
  await assert.rejects(fetch(`${origin}/drop`), TypeError)
  assert.strictEqual(counts(peer, '/drop'), 2)
})

test('a GET that is dropped on a fresh connection is not sent again', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (_, connection) => connection.socket.destroy())
  await assert.rejects(fetch(`${origin}/drop`), TypeError)
  assert.strictEqual(counts(peer, '/drop'), 1)
})

test('a GET whose response has a head is not sent again', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target === '/drop') connection.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
    else connection.write(reply())
  })
  await (await fetch(`${origin}/`)).text()
  await assert.rejects(async () => (await fetch(`${origin}/drop`)).text(), TypeError)
  assert.strictEqual(counts(peer, '/drop'), 1)
})

test('a server that closes after each reply fails no fetch', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (_, connection) => connection.end(reply()))
  for (let i = 0; i < 100; i++) assert.strictEqual(await (await fetch(`${origin}/`)).text(), 'ok')
  assert.ok(peer.accepted <= 100)
})

test('a server that closes while JavaScript is busy fails neither a GET nor a POST', async (scope) => {
  const remote = await startRemote()
  scope.defer(() => remote.stop())
  const origin = `http://127.0.0.1:${remote.port}`
  for (const init of [undefined, { method: 'POST', body: 'x' }]) {
    for (let i = 0; i < 5; i++) {
      await (await fetch(`${origin}/fin-after?20`)).text()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60)
      assert.strictEqual((await fetch(`${origin}/echo`, init)).status, 200)
    }
  }
})

test('a server that closes after each reply, unannounced, gets no POST twice', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (_, connection) => connection.end(reply()))
  let failed = 0
  for (let i = 0; i < 100; i++) {
    try {
      await (await fetch(`${origin}/${i}`, { method: 'POST', body: 'x' })).text()
    } catch (error) {
      assert.ok(error instanceof TypeError)
      failed += 1
    }
    assert.ok(counts(peer, `/${i}`) <= 1, `request ${i} was sent twice`)
  }
  // One that was on its way when the server closed is lost, and nobody can tell whether it was read. But three closes teach.
  assert.ok(failed < 10, `${failed} failed`)
})

test('a body that nobody reads stops its server', async (scope) => {
  let sent = 0
  const { origin } = await fetchPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n')
    const block = Buffer.alloc(64 * 1024)
    const pour = () => {
      while (sent < 1e9 && !connection.socket.destroyed) {
        sent += block.length
        if (!connection.socket.write(block)) return connection.socket.once('drain', pour)
      }
    }
    pour()
  })
  const response = await fetch(`${origin}/`)
  const held = await settled(() => sent)
  assert.ok(held < 24 * 1024 * 1024, `the server could send ${held} bytes`)
  const reader = response.body.getReader()
  let read = 0
  while (read < 30e6) read += (await reader.read()).value.length
  await reader.cancel()
})

test('a cancelled body closes its connection', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
  })
  const response = await fetch(`${origin}/`)
  await response.body.cancel()
  await peer.connections[0].closed.promise
})

const LONG = Buffer.alloc(700_000, 'keepwire ')
const readers = {
  whole: async (response) => Buffer.from(await response.arrayBuffer()),
  'piece by piece': async (response) => {
    const pieces = []
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read()
      if (done) return Buffer.concat(pieces)
      pieces.push(value)
    }
  },
}

for (const [how, read] of Object.entries(readers)) {
  test(`a body is complete, read ${how}, whatever its length and framing`, async (scope) => {
    const { origin } = await fetchPeer(scope, (request, connection) => {
      const body = LONG.subarray(0, Number(request.target.slice(2)))
      if (request.target[1] === 'l') connection.write(reply(body.toString()))
      else connection.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`)
    })
    for (const framing of ['l', 'c']) {
      for (const length of [0, 1, 20_000, 300_000, LONG.length]) {
        const got = await read(await fetch(`${origin}/${framing}${length}`))
        assert.ok(got.equals(LONG.subarray(0, length)), `${framing} ${length}: ${got.length} bytes`)
      }
    }
  })

  test(`a body whose connection has closed since can be read ${how}`, async (scope) => {
    const zlib = require('node:zlib')
    const bodies = { '/plain': LONG.subarray(0, 50_000), '/gzip': zlib.gzipSync(LONG) }
    const { peer, origin } = await fetchPeer(scope, (request, connection) => {
      const body = bodies[request.target]
      const coding = request.target === '/gzip' ? 'Content-Encoding: gzip\r\n' : ''
      const head = `HTTP/1.1 200 OK\r\n${coding}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n`
      connection.socket.write(head)
      connection.socket.end(body)
    })
    for (const [path, expected] of [
      ['/plain', bodies['/plain']],
      ['/gzip', LONG],
    ]) {
      const response = await fetch(origin + path)
      await until(() => peer.open.size === 0, 'the connection is closed')
      await turns(3)
      assert.ok((await read(response)).equals(expected), path)
    }
  })
}

test('an upload waits for its server', async (scope) => {
  const begun = deferred()
  const { origin } = await fetchPeer(scope, {
    onConnection: (connection) => {
      connection.socket.pause()
      begun.resolve(connection)
    },
    onRequest: (request, connection) => connection.write(reply(String(request.body.length))),
  })
  let pulled = 0
  const body = new ReadableStream({
    pull(controller) {
      pulled += 1
      if (pulled > 1000) controller.close()
      else controller.enqueue(new Uint8Array(64 * 1024))
    },
  })
  const response = fetch(`${origin}/`, { method: 'POST', body, duplex: 'half' })
  const connection = await begun.promise
  const held = await settled(() => pulled)
  assert.ok(held < 400, `${held} pieces were taken`)
  connection.socket.resume()
  assert.strictEqual(await (await response).text(), String(1000 * 64 * 1024))
})

test('the source of an upload is cancelled with the error of its fetch', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, {
    onHead: (_, connection) => connection.socket.destroy(),
  })
  const failure = async (url, chunk, headers = {}) => {
    const told = deferred()
    const body = new ReadableStream({ start: (source) => source.enqueue(chunk), cancel: told.resolve })
    const error = await fetch(url, { method: 'POST', body, duplex: 'half', headers }).then(
      assert.fail,
      (error) => error,
    )
    assert.strictEqual(await told.promise, error)
    return error.cause
  }
  const piece = new Uint8Array(1)
  // Within the upload, before it has begun, and by what it gives.
  await failure(`${origin}/`, piece)
  await failure('http://127.0.0.1:10/', piece)
  assert.strictEqual((await failure(`${origin}/`, 'text')).name, 'TypeError')
  assert.strictEqual(
    (await failure(`${origin}/`, new Uint8Array(2), { 'Content-Length': '1' })).code,
    'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  )
  await until(() => peer.open.size === 0)
})

test('timeout: a fetch that takes longer rejects, before its head and within its body', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target === '/body') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
  })
  await assert.rejects(fetch(`${origin}/head`, { timeout: 20 }), { name: 'TimeoutError' })
  await withMoreTime(async (ms) => {
    const response = await fetch(`${origin}/body`, { timeout: ms })
    await assert.rejects(response.text(), { name: 'TimeoutError' })
  })
  await until(() => peer.open.size === 0, 'both connections are closed')
})

test('wrong options are refused', async () => {
  await assert.rejects(fetch('http://127.0.0.1/', { timeout: 'soon' }), { code: 'ERR_INVALID_ARG_TYPE' })
  await assert.rejects(fetch('http://127.0.0.1/', { timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' })
  await assert.rejects(fetch('http://127.0.0.1/', { agent: {} }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('what cannot be reached fails with the code of the runtime', async () => {
  await assert.rejects(fetch(`http://127.0.0.1:${DEAD_PORT}/`), (error) => {
    assert.ok(error instanceof TypeError)
    assert.deepStrictEqual([error.message, error.cause.code], ['fetch failed', 'ECONNREFUSED'])
    assert.deepStrictEqual([error.cause.address, error.cause.port], ['127.0.0.1', DEAD_PORT])
    return true
  })
  await assert.rejects(fetch('http://nowhere.invalid/'), (error) => {
    assert.deepStrictEqual([error.cause.syscall, error.cause.hostname], ['getaddrinfo', 'nowhere.invalid'])
    return true
  })
})

test("an agent's maxPending limits who may wait", async (scope) => {
  const { peer, origin } = await fetchPeer(scope, () => {})
  const agent = scope.agent({ maxSockets: 1, maxPending: 1 })
  const controller = new AbortController()
  const { signal } = controller
  const first = assert.rejects(fetch(`${origin}/1`, { agent, signal }), { name: 'AbortError' })
  await until(() => peer.requests.length === 1)
  const second = assert.rejects(fetch(`${origin}/2`, { agent, signal }), { name: 'AbortError' })
  await assert.rejects(fetch(`${origin}/3`, { agent }), (error) => error.cause.code === 'ERR_KEEPWIRE_QUEUE_FULL')
  controller.abort()
  await Promise.all([first, second])
})

test("a waiting fetch that is aborted leaves its agent's queue at once", async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target !== '/1') connection.write(reply(request.target))
  })
  const agent = scope.agent({ maxSockets: 1 })
  const controller = new AbortController()
  const first = new AbortController()
  const held = assert.rejects(fetch(`${origin}/1`, { agent, signal: first.signal }), { name: 'AbortError' })
  await until(() => peer.requests.length === 1)
  const waiting = fetch(`${origin}/2`, { agent, signal: controller.signal })
  const behind = fetch(`${origin}/3`, { agent })
  controller.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  first.abort()
  await held
  assert.strictEqual(await (await behind).text(), '/3')
  assert.strictEqual(counts(peer, '/2'), 0)
})

test('a process ends by itself when its fetches have', async (scope) => {
  const remote = await startRemote()
  scope.defer(() => remote.stop())
  for (const unread of ['', 'unread']) {
    const { code, late, lines, stderr } = await runScript('fetch-then-nothing', [remote.port, unread])
    assert.ok(!late, 'the process did not end by itself')
    assert.deepStrictEqual([code, lines], [0, [{ done: true }]], stderr)
  }
})

// Deno's collector can't be called from a script without flags of its engine.
test('responses that are dropped unread free their connections', { skip: isDeno && 'needs gc()' }, async (scope) => {
  const { origin } = await fetchPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello')
  })
  const { code, late, lines, stderr } = await runScript('fetch-collected', [`${origin}/`, 12], {
    env: { NODE_OPTIONS: '' },
    flags: process.versions.bun ? [] : ['--expose-gc'],
  })
  assert.ok(!late, 'a fetch waited in vain for a place')
  assert.deepStrictEqual([code, lines], [0, [{ fetched: 12 }]], stderr)
})

test('stats() tells of fetches by origin', async (scope) => {
  const { peer, origin } = await fetchPeer(scope, (request, connection) => {
    if (request.target === '/drop') connection.socket.destroy()
    else connection.write(reply())
  })
  const name = `127.0.0.1:${peer.port}:`
  // Of another server of this file that had the port.
  const { created = 0, reused = 0 } = stats().origins[name] ?? {}
  for (let i = 0; i < 5; i++) await (await fetch(`${origin}/`)).text()
  const idle = stats().origins[name]
  assert.deepStrictEqual([idle.open, idle.idle, idle.created - created, idle.reused - reused], [1, 1, 1, 4])
  await assert.rejects(fetch(`${origin}/drop`, { method: 'POST', body: 'x' }))
  const told = stats().origins[`127.0.0.1:${peer.port}:`]
  assert.deepStrictEqual([told.open, told.retried, told.leased, told.queued], [0, 0, 0, 0])
  assert.deepStrictEqual([told.errors, told.firstByteMs.count, told.connectMs.count], [{ ECONNRESET: 1 }, 5, 1])
})

test('many fetches share a signal without a warning, and leave nothing on it', async (scope) => {
  const { origin } = await fetchPeer(scope, (_, connection) => connection.write(reply()))
  const controller = new AbortController()
  const warned = []
  const listen = (warning) => warned.push(warning.message)
  process.on('warning', listen)
  scope.defer(() => process.removeListener('warning', listen))
  const fetches = Array.from({ length: 40 }, () => fetch(`${origin}/`, { signal: controller.signal }))
  const texts = await Promise.all(fetches.map(async (response) => (await response).text()))
  await turns(3)
  assert.deepStrictEqual([texts.length, warned], [40, []])
  assert.strictEqual(require('node:events').getEventListeners(controller.signal, 'abort').length, 0)
})

for (const [what, options] of [
  ['without an agent', () => ({})],
  ['over an agent', (scope) => ({ agent: scope.agent() })],
]) {
  test(`${what} a body of more than 4 GiB is refused when it is read at once, and can be read as a stream`, async (scope) => {
    const { origin } = await fetchPeer(scope, (_, connection) => {
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\nbegun')
    })
    const init = { ...options(scope), maxResponseSize: Number.POSITIVE_INFINITY }
    await assert.rejects(
      fetch(origin, init).then((response) => response.arrayBuffer()),
      ({ cause }) => {
        assert.strictEqual(cause.code, 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE')
        assert.match(cause.message, /more than 4294967295 bytes, the most that can be read at once/)
        return true
      },
    )
    const reader = (await fetch(origin, init)).body.getReader()
    assert.strictEqual(Buffer.from((await reader.read()).value).toString(), 'begun')
    await reader.cancel()
  })
}
