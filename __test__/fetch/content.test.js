'use strict'

// Bodies that are more than they seem: content codings that break off or stand for gigabytes, limits, floods of pieces.

const assert = require('node:assert')
const zlib = require('node:zlib')

const { Agent, fetch } = require('../..')
const native = require('../../lib/bridge/native.js')
const { bomb, BOMB_CODINGS } = require('../support/bomb')
const { runScript } = require('../support/child')
const { test } = require('../support/suite')
const { deferred, until } = require('../support/wait')

const TEXT = 'hello content, '.repeat(3_000)
const TOO_LARGE = 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE'

const encoders = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  'deflate without its header': zlib.deflateRawSync,
  br: zlib.brotliCompressSync,
  'br, gzip': (bytes) => zlib.gzipSync(zlib.brotliCompressSync(bytes)),
  // Older runtimes have none.
  ...(zlib.zstdCompressSync && { zstd: zlib.zstdCompressSync }),
}

function respond(connection, body, fields = '') {
  connection.socket.write(`HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n`)
  connection.socket.write(body)
}

/** Idle connections of fetches belong to the process: they end with the server. */
async function contentPeer(scope, onRequest) {
  const peer = await scope.peer(onRequest)
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  return { peer, origin: `http://127.0.0.1:${peer.port}` }
}

/** A server of one body after another, `path` by path. */
async function serving(scope, bodies) {
  return contentPeer(scope, ({ target }, connection) => {
    const { body, codings } = bodies[decodeURIComponent(target.slice(1))]
    const type = 'Content-Type: application/x-www-form-urlencoded\r\n'
    respond(connection, body, type + (codings ? `Content-Encoding: ${codings}\r\n` : ''))
  })
}

/** Why reading failed; Node 18's formData() wraps that once more. */
const causeOf = ({ cause }) => (cause instanceof TypeError ? cause.cause : cause)

const failsWith = (code) => (error) => {
  assert.ok(error instanceof TypeError, String(error))
  assert.strictEqual(causeOf(error)?.code, code)
  return true
}

for (const [name, encode] of Object.entries(encoders)) {
  const codings = name.replace(' without its header', '')

  test(`${name}: content that breaks off is an error, whoever reads it, and its connection serves the next`, async (scope) => {
    const body = encode(Buffer.from(TEXT))
    const cut = [1, 3, body.length >> 1].map((less) => body.subarray(0, body.length - less))
    const { peer, origin } = await serving(scope, {
      whole: { body, codings },
      ...cut.map((rest) => ({ body: rest, codings })),
    })
    for (const at of cut.keys()) {
      await assert.rejects(async () => (await fetch(`${origin}/${at}`)).text(), failsWith('Z_BUF_ERROR'), `text, ${at}`)
      await assert.rejects(async () => {
        for await (const piece of (await fetch(`${origin}/${at}`)).body) assert.ok(piece.length > 0)
      }, failsWith('Z_BUF_ERROR'))
      assert.strictEqual(await (await fetch(`${origin}/whole`)).text(), TEXT)
    }
    assert.ok(peer.requests.length === 9)
  })
}

test('gzip that zeros fill up, or that goes on with another member, is in order', async (scope) => {
  const body = zlib.gzipSync(TEXT)
  const { origin } = await serving(scope, {
    zeros: { body: Buffer.concat([body, Buffer.alloc(600)]), codings: 'gzip' },
    twice: { body: Buffer.concat([body, body]), codings: 'gzip' },
    junk: { body: Buffer.concat([body, Buffer.from('junk')]), codings: 'gzip' },
  })
  assert.strictEqual(await (await fetch(`${origin}/zeros`)).text(), TEXT)
  assert.strictEqual(await (await fetch(`${origin}/twice`)).text(), TEXT + TEXT)
  await assert.rejects(async () => (await fetch(`${origin}/junk`)).text(), failsWith('Z_DATA_ERROR'))
})

test('a body that stands for 10 GB neither stops other requests nor outlives its timeout', {
  timeout: 60_000,
}, async (scope) => {
  const { origin } = await contentPeer(scope, ({ target }, connection) => {
    if (target === '/bomb') respond(connection, bomb(), `Content-Encoding: ${BOMB_CODINGS}\r\n`)
    else respond(connection, Buffer.from('small'))
  })
  bomb()
  const BESIDE = 20
  const { code, late, lines, stderr } = await runScript('fetch-bomb', [origin, BESIDE], { deadlineMs: 40_000 })
  assert.ok(!late, 'the process did not end')
  assert.strictEqual(code, 0, stderr)
  const [{ aborted, beside, error, took, left, mostLeft }] = lines
  // It stands for so much that it was not over yet.
  assert.deepStrictEqual([aborted, beside], ['AbortError', BESIDE])
  assert.strictEqual(error, 'TimeoutError')
  assert.ok(took < 10_000, `it took ${took} ms`)
  assert.ok(left < mostLeft, `${left} bytes are left`)
})

test('a body of 10 GB that is read piece by piece takes no more memory than its window', {
  timeout: 60_000,
}, async (scope) => {
  const { origin } = await serving(scope, { bomb: { body: bomb(), codings: BOMB_CODINGS } })
  const response = await fetch(`${origin}/bomb`)
  const reader = response.body.getReader()
  let read = 0
  while (read < 100e6) read += (await reader.read()).value.length
  await reader.cancel()
})

const wholes = {
  text: (response) => response.text(),
  json: (response) => response.json(),
  arrayBuffer: (response) => response.arrayBuffer(),
  blob: (response) => response.blob(),
  formData: (response) => response.formData(),
  'a stream': async (response) => {
    for await (const piece of response.body) assert.ok(piece.length > 0)
  },
  'a clone': (response) => {
    const copy = response.clone()
    return Promise.all([copy.text(), response.text()])
  },
  'text after a look at its stream': (response) => {
    assert.ok(response.body)
    return response.text()
  },
}

for (const [how, read] of Object.entries(wholes)) {
  test(`maxResponseSize: a body that decodes to more is an error, read as ${how}`, async (scope) => {
    const large = Buffer.alloc(300_000, 'x')
    const { peer, origin } = await serving(scope, {
      small: { body: Buffer.from('12345678901') },
      plain: { body: large },
      gzip: { body: zlib.gzipSync(large), codings: 'gzip' },
      bomb: { body: bomb(), codings: BOMB_CODINGS },
    })
    for (const [path, maxResponseSize] of [
      ['small', 10],
      ['plain', 200_000],
      ['gzip', 200_000],
      ['bomb', 5e6],
    ]) {
      const response = await fetch(`${origin}/${path}`, { maxResponseSize })
      await assert.rejects(
        async () => read(response),
        (error) => {
          failsWith(TOO_LARGE)(error)
          assert.match(causeOf(error).message, new RegExp(`${maxResponseSize} bytes.*"maxResponseSize"`))
          return true
        },
        path,
      )
    }
    // All but those whose last byte had come.
    await until(() => peer.open.size <= 1, 'the connections are closed')
  })
}

test('maxResponseSize: what fits is read, whichever way; 0 and Infinity are no limit', async (scope) => {
  const body = Buffer.alloc(300_000, 'x')
  const { origin } = await serving(scope, { plain: { body }, gzip: { body: zlib.gzipSync(body), codings: 'gzip' } })
  for (const path of ['plain', 'gzip']) {
    for (const maxResponseSize of [body.length, 0, Number.POSITIVE_INFINITY]) {
      const text = await (await fetch(`${origin}/${path}`, { maxResponseSize })).text()
      assert.strictEqual(text.length, body.length)
      const blob = await (await fetch(new Request(`${origin}/${path}`), { maxResponseSize })).blob()
      assert.strictEqual(blob.size, body.length)
    }
  }
})

test('maxResponseSize: what is no size is refused', async () => {
  for (const form of [
    (init) => fetch('http://127.0.0.1/', init),
    (init) => fetch(new Request('http://127.0.0.1/'), init),
  ]) {
    await assert.rejects(form({ maxResponseSize: '1' }), { code: 'ERR_INVALID_ARG_TYPE' })
    await assert.rejects(form({ maxResponseSize: -1 }), { code: 'ERR_OUT_OF_RANGE' })
    await assert.rejects(form({ maxResponseSize: Number.NaN }), { code: 'ERR_OUT_OF_RANGE' })
  }
})

test('a body that is read at once has a limit by default, which says its name', async (scope) => {
  const { peer, origin } = await contentPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n')
    connection.socket.write(Buffer.alloc(100_000))
  })
  for (const read of ['text', 'json', 'arrayBuffer']) {
    const response = await fetch(`${origin}/`)
    await assert.rejects(response[read](), (error) => {
      failsWith(TOO_LARGE)(error)
      return /1073741824 bytes.*"maxResponseSize"/.test(error.cause.message)
    })
  }
  await until(() => peer.open.size === 0, 'the connections are closed')
})

test('pieces that are there are told together, however small the server made them', async (scope) => {
  const PIECES = 20_000
  const sent = deferred()
  const { origin } = await contentPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    connection.socket.write(`${'1\r\nx\r\n'.repeat(PIECES)}0\r\n\r\n`, sent.resolve)
  })
  const agent = scope.adopt(new Agent({ keepAlive: true }))
  const response = await fetch(`${origin}/`, { agent })
  await sent.promise
  let bytes = 0
  let pieces = 0
  for await (const piece of response.body) {
    bytes += piece.length
    pieces++
  }
  assert.strictEqual(bytes, PIECES)
  assert.ok(pieces < PIECES / 20, `${pieces} pieces`)
})

test('what a body is read into is its reader’s alone: it can be sent to other threads', async (scope) => {
  const bodies = { small: { body: Buffer.from('small') }, large: { body: Buffer.alloc(300_000, 'x') } }
  const { origin } = await serving(scope, {
    ...bodies,
    gzip: { body: zlib.gzipSync(bodies.large.body), codings: 'gzip' },
  })
  const reads = {
    arrayBuffer: (response) => response.arrayBuffer(),
    ...('bytes' in Response.prototype && { bytes: async (response) => (await response.bytes()).buffer }),
    stream: async (response) => {
      const { value } = await response.body.getReader().read()
      assert.strictEqual(value.byteLength, value.buffer.byteLength)
      return value.buffer
    },
  }
  const { port1, port2 } = new MessageChannel()
  scope.defer(() => port1.close())
  for (const path of ['small', 'large', 'gzip']) {
    for (const [how, read] of Object.entries(reads)) {
      const buffer = await read(await fetch(`${origin}/${path}`))
      const length = buffer.byteLength
      assert.ok(length > 0)
      const came = new Promise((resolve) => {
        port2.onmessage = ({ data }) => resolve(data)
      })
      port1.postMessage(buffer, [buffer])
      assert.strictEqual(buffer.byteLength, 0, `${path}, ${how}: it is still here`)
      assert.strictEqual((await came).byteLength, length)
    }
  }
})

/** The buffers that the engine is lent from now on. */
function watchLending(scope) {
  const lent = []
  const { lendBuffer } = native
  native.lendBuffer = (port, exchange, buffer) => {
    lent.push(buffer.buffer)
    lendBuffer(port, exchange, buffer)
  }
  scope.defer(() => {
    native.lendBuffer = lendBuffer
  })
  return lent
}

test('a body of known length is written where its reader finds it, without a copy', async (scope) => {
  const { origin } = await serving(scope, {
    large: { body: Buffer.from(TEXT.repeat(8)) },
    small: { body: Buffer.from('small') },
    gzip: { body: zlib.gzipSync(TEXT.repeat(8)), codings: 'gzip' },
  })
  const agent = scope.adopt(new Agent({ keepAlive: true }))
  const lent = watchLending(scope)
  for (const init of [{}, { agent }]) {
    const read = await (await fetch(`${origin}/large`, init)).arrayBuffer()
    assert.strictEqual(read, lent.pop())
    assert.strictEqual(Buffer.from(read).toString(), TEXT.repeat(8))
    if ('bytes' in Response.prototype) {
      const bytes = await (await fetch(`${origin}/large`, init)).bytes()
      assert.strictEqual(bytes.buffer, lent.pop())
    }
    const blob = await (await fetch(`${origin}/large`, init)).blob()
    assert.strictEqual(await blob.text(), TEXT.repeat(8))
    assert.strictEqual(blob.type, 'application/x-www-form-urlencoded')
    lent.length = 0
    // These need no buffer made for them.
    assert.strictEqual(await (await fetch(`${origin}/large`, init)).text(), TEXT.repeat(8))
    for (const path of ['small', 'gzip']) await (await fetch(`${origin}/${path}`, init)).arrayBuffer()
    assert.deepStrictEqual(lent, [])
  }
  assert.strictEqual(native.held().lent, 0)
})

test('a body that breaks off, is aborted or too large leaves no buffer with the engine', async (scope) => {
  const LENGTH = 300_000
  const coming = []
  const { origin } = await contentPeer(scope, ({ target }, connection) => {
    connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LENGTH}\r\n\r\n`)
    connection.socket.write(Buffer.alloc(LENGTH - 1, 'x'))
    if (target === '/breaks') connection.socket.end()
    else coming.push(connection.socket)
  })
  const agent = scope.adopt(new Agent({ keepAlive: true }))
  const lent = watchLending(scope)
  for (const init of [{}, { agent }]) {
    const broken = await fetch(`${origin}/breaks`, init)
    await assert.rejects(broken.arrayBuffer(), TypeError)
    const controller = new AbortController()
    const aborted = await fetch(`${origin}/stalls`, { ...init, signal: controller.signal })
    const reading = aborted.arrayBuffer()
    await until(() => native.held().lent === 1)
    setImmediate(() => controller.abort())
    await assert.rejects(reading, { name: 'AbortError' })
    assert.strictEqual(lent.length, 2)
    const large = await fetch(`${origin}/stalls`, { ...init, maxResponseSize: LENGTH - 1 })
    await assert.rejects(large.arrayBuffer(), failsWith(TOO_LARGE))
    assert.strictEqual(lent.length, 2, 'nothing is set aside for what is too large')
    assert.strictEqual(native.held().lent, 0)
    lent.length = 0
  }
})

test('a response that has no body by its status shows none, and its connection serves the next', async (scope) => {
  const { peer, origin } = await contentPeer(scope, ({ target }, connection) => {
    const [, status, length] = target.split('/')
    const body = 'x'.repeat(Number(length))
    connection.socket.write(`HTTP/1.1 ${status} Status\r\nContent-Length: ${length}\r\n\r\n`)
    setImmediate(() => connection.socket.write(body))
  })
  for (const length of [5, 40_000]) {
    const response = await fetch(`${origin}/205/${length}`)
    assert.deepStrictEqual([response.status, response.body, response.bodyUsed], [205, null, false])
    assert.strictEqual(await response.text(), '')
    assert.strictEqual((await response.arrayBuffer()).byteLength, 0)
    assert.strictEqual((await (await fetch(`${origin}/200/3`)).text()).length, 3)
  }
  assert.ok(peer.accepted <= 2, `${peer.accepted} connections`)
})

test('an abort ends the stream of a body at once, also while nobody reads', async (scope) => {
  const { origin } = await contentPeer(scope, (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello')
  })
  const controller = new AbortController()
  const response = await fetch(`${origin}/`, { signal: controller.signal })
  const reader = response.body.getReader()
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(reader.closed, (error) => error === reason)
  await assert.rejects(reader.read(), (error) => error === reason)
})
