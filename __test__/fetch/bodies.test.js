'use strict'

// Bodies of requests that are there before they are sent: their length is sent, never chunks (presigned uploads refuse those),
// they follow 307 and 308, and their bytes are those of the runtime's own fetch.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { fetch } = require('../..')
const { isBun, isDeno, isNode } = require('../../lib/runtime/probes')
const { runScript } = require('../support/child')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { turns } = require('../support/wait')

const runtimeFetch = globalThis.fetch

const KIB = 1024
const LARGE = 3 * KIB * KIB + 17

/** @param {number} size */
const bytesOf = (size) => Buffer.alloc(size, 'All bytes count, and \r\n none is lost. ')

/** @param {any} scope @param {number} size */
async function fileOf(scope, size) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-bodies-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const name = path.join(folder, 'upload.bin')
  fs.writeFileSync(name, bytesOf(size))
  return isBun ? globalThis.Bun.file(name) : fs.openAsBlob(name, { type: 'a/b' })
}

/** @param {[string, any, string?][]} entries */
function formOf(...entries) {
  const form = new FormData()
  for (const entry of entries) form.append(.../** @type {[string, any]} */ (entry))
  return form
}

const hasFiles = isBun || typeof fs.openAsBlob === 'function'

/** @type {Record<string, (scope: any) => any>} */
const BODIES = {
  bytes: () => bytesOf(3 * KIB),
  'an ArrayBuffer': () => new Uint8Array(bytesOf(3 * KIB)).buffer,
  'a small Blob': () => new Blob([bytesOf(3 * KIB)], { type: 'a/b' }),
  'an empty Blob': () => new Blob([]),
  'a large Blob': () => new Blob([bytesOf(LARGE), 'and text'], { type: 'a/b' }),
  'a small form': () =>
    formOf(['a', 'b\r\nc'], ['ü"', new Blob(['x'], { type: 'a/b' }), 'n"ü.txt'], ['e', new Blob([])]),
  'a form with large files': () =>
    formOf(
      ['a', 'b\nc'],
      ['file', new Blob([bytesOf(LARGE)], { type: 'a/b' }), 'n"ü.bin'],
      ['nothing', new Blob([]), ''],
      ['file', new Blob([bytesOf(LARGE + 1)])],
      ['z', '🙂'],
    ),
  ...(hasFiles && {
    'a small file': (scope) => fileOf(scope, 3 * KIB),
    'a large file': (scope) => fileOf(scope, LARGE),
    'a slice of a file': async (scope) => (await fileOf(scope, LARGE)).slice(7, LARGE - 7, 'c/d'),
    'a form with a file': async (scope) =>
      formOf(['a', 'b'], ['file', await fileOf(scope, LARGE), 'upload.bin'], ['c', 'd']),
  }),
}

/** Answers /303 and so on with a redirect to /there. */
async function server(scope) {
  const peer = await scope.peer((request, connection) => {
    const status = /^\/(30\d)/.exec(request.target)?.[1]
    connection.write(status ? reply('', ['Location: /there'], `HTTP/1.1 ${status} Elsewhere`) : reply('ok'))
  })
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  return { peer, origin: `http://127.0.0.1:${peer.port}` }
}

/** What counts of a request: a form's boundary is another one each time. */
function seen({ body, chunked, headers, method }) {
  const type = headers['content-type']
  const boundary = /boundary=(.+)$/.exec(type ?? '')?.[1]
  const plain = (/** @type {string} */ text) => (boundary === undefined ? text : text.replaceAll(boundary, 'BOUNDARY'))
  // Boundaries differ in length on some runtimes.
  const length = Number(headers['content-length']) - body.length
  return { chunked, length, method, type: type && plain(type), body: plain(body.toString('latin1')) }
}

/** Bodies of megabytes make no message. */
function assertSame(actual, expected) {
  const { body, ...rest } = actual
  const { body: wanted, ...restWanted } = expected
  assert.deepStrictEqual(rest, restWanted)
  assert.ok(body === wanted, `${body.length} bytes are not the ${wanted.length} that were wanted`)
}

for (const [what, make] of Object.entries(BODIES)) {
  for (const status of [307, 308]) {
    test(`${what} is sent with its length, and again after ${status}`, async (scope) => {
      const { peer, origin } = await server(scope)
      const body = await make(scope)
      await (await runtimeFetch(`${origin}/`, { method: 'PUT', body })).text()
      assert.strictEqual(await (await fetch(`${origin}/${status}`, { method: 'PUT', body })).text(), 'ok')
      const [theirs, first, second] = peer.requests.map(seen)
      assert.deepStrictEqual([first.chunked, first.length, peer.requests.length], [false, 0, 3])
      assertSame({ ...first, length: 0 }, { ...theirs, chunked: false, length: 0 })
      assertSame(second, first)
    })
  }

  // On Bun and Deno, nobody tells what a Request was made of.
  if (isNode || !/large|file/.test(what)) {
    test(`a Request made of ${what} is sent with its length, and again after 307`, async (scope) => {
      const { peer, origin } = await server(scope)
      const body = await make(scope)
      const init = { method: 'PUT', body, headers: { 'x-a': 'b' } }
      await (await runtimeFetch(new Request(`${origin}/`, init))).text()
      const modes = { mode: 'same-origin', cache: 'no-store', keepalive: true, signal: new AbortController().signal }
      const request = new Request(`${origin}/307`, { ...init, .../** @type {any} */ (isNode ? modes : {}) })
      // Node 20 and 22 have handed bytes over to its stream by then.
      await turns(2)
      assert.strictEqual(await (await fetch(request)).text(), 'ok')
      if (what !== 'an empty Blob') assert.strictEqual(request.bodyUsed, true)
      const [theirs, first, second] = peer.requests.map(seen)
      assert.deepStrictEqual([first.chunked, first.length, peer.requests.length], [false, 0, 3])
      // The runtimes send some bodies in chunks.
      assertSame({ ...first, length: 0 }, { ...theirs, chunked: false, length: 0 })
      assertSame(second, first)
      assert.strictEqual(peer.requests[1].headers['x-a'], 'b')
    })
  }
}

test('a form with large files turns into a GET without a body after 303', async (scope) => {
  const { peer, origin } = await server(scope)
  const body = BODIES['a form with large files'](scope)
  await (await fetch(`${origin}/303`, { method: 'POST', body })).text()
  const { body: sent, headers, method } = peer.requests[1]
  assert.deepStrictEqual(
    [method, sent.length, headers['content-type'], headers['content-length']],
    ['GET', 0, undefined, undefined],
  )
})

test('a form is what it was when fetch() was called', async (scope) => {
  const { peer, origin } = await server(scope)
  const body = BODIES['a form with large files'](scope)
  const sending = fetch(`${origin}/307`, { method: 'POST', body })
  body.append('later', 'too late')
  await (await sending).text()
  for (const { body: sent } of peer.requests) assert.ok(!sent.includes('too late'))
})

for (const what of ['a large Blob', 'a form with large files']) {
  test(`${what} that is aborted under way ends its connection`, async (scope) => {
    const controller = new AbortController()
    const peer = await scope.peer({ onHead: () => controller.abort(new Error('enough')) })
    const body = BODIES[what](scope)
    const sending = fetch(`http://127.0.0.1:${peer.port}/`, { method: 'PUT', body, signal: controller.signal })
    await assert.rejects(sending, { message: 'enough' })
    await peer.connections[0].closed.promise
  })
}

if (isNode && typeof File === 'function') {
  test('a Blob with a stream of its own is sent by way of that', async (scope) => {
    const { peer, origin } = await server(scope)
    class Lazy extends File {
      get size() {
        return LARGE
      }
      stream() {
        return new Blob([bytesOf(LARGE)]).stream()
      }
    }
    const body = formOf(['file', new Lazy([], 'lazy.bin')])
    await (await runtimeFetch(`${origin}/`, { method: 'POST', body })).text()
    await (await fetch(`${origin}/307`, { method: 'POST', body })).text()
    const [theirs, first, second] = peer.requests.map(seen)
    assertSame(first, theirs)
    assertSame(second, first)
  })
}

if (isNode) {
  test('a Request made of a stream is sent in chunks, piece by piece, and is not sent again', async (scope) => {
    const { peer, origin } = await server(scope)
    const pieces = ['a', 'b', 'c']
    const streamed = () =>
      new ReadableStream(
        {
          async pull(controller) {
            await new Promise((resolve) => setImmediate(resolve))
            if (pieces.length === 0) controller.close()
            else controller.enqueue(Buffer.from(/** @type {string} */ (pieces.shift())))
          },
        },
        { highWaterMark: 0 },
      )
    const requested = (/** @type {string} */ to) =>
      new Request(`${origin}${to}`, /** @type {any} */ ({ method: 'PUT', body: streamed(), duplex: 'half' }))
    await (await fetch(requested('/'))).text()
    assert.deepStrictEqual([peer.requests[0].chunked, peer.requests[0].body.toString()], [true, 'abc'])
    pieces.push('d')
    await assert.rejects(fetch(requested('/307')), { name: 'TypeError', message: 'fetch failed' })
  })

  test('a Request whose form changes before the fetch is sent with the length of what is sent', async (scope) => {
    const { peer, origin } = await server(scope)
    const body = formOf(['a', 'b'])
    const request = new Request(`${origin}/307`, { method: 'PUT', body })
    body.append('c', 'd')
    await (await fetch(request)).text()
    for (const sent of peer.requests) assert.strictEqual(seen(sent).length, 0)
  })
}

if (hasFiles && !isBun && !isDeno) {
  test('a file that has changed since fails the fetch, and costs its connection', async (scope) => {
    const { peer, origin } = await server(scope)
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-bodies-'))
    scope.defer(() => fs.rmSync(folder, { recursive: true }))
    const name = path.join(folder, 'upload.bin')
    fs.writeFileSync(name, bytesOf(LARGE))
    const body = formOf(['file', await fs.openAsBlob(name), 'upload.bin'])
    fs.writeFileSync(name, 'short')
    await assert.rejects(fetch(`${origin}/`, { method: 'PUT', body }), { name: 'TypeError', message: 'fetch failed' })
    assert.strictEqual(peer.requests.filter(({ complete }) => complete).length, 0)
  })
}

test('a form of many megabytes is sent in bounded memory', async (scope) => {
  const peer = await scope.peer({
    forget: true,
    onHead: (/** @type {any} */ request) => {
      request.discard = true
    },
    onRequest: (/** @type {any} */ _, /** @type {any} */ connection) => connection.write(reply('ok')),
  })
  const { code, lines, stderr } = await runScript('fetch-form', [`http://127.0.0.1:${peer.port}/`], {
    deadlineMs: 60_000,
    // Of Node 18's FormData.
    env: { NODE_NO_WARNINGS: '1' },
  })
  assert.deepStrictEqual([code, stderr], [0, ''])
  const [{ status, megabytes, grown }] = /** @type {any[]} */ (lines)
  assert.strictEqual(status, 200)
  assert.ok(peer.requests[1].received > megabytes * 1e6)
  assert.ok(grown < megabytes / 2, `${grown} MB more for a form of ${megabytes} MB`)
})
