'use strict'

// fetch(url, { client: 'reqwest' }): the same outcomes by a client that is not the engine's pool, and none of its faults that could be
// mended from outside.

const assert = require('node:assert')
const http = require('node:http')

const { fetch, HttpsAgent, stats } = require('../..')
const { http2Server } = require('../support/http2')
const { answer, DATA, END_STREAM, frameServer, goAway, HEADERS, reset } = require('../support/frames')
const { isBun, isDeno } = require('../support/runtime')
const { listen } = require('../support/secure')
const { test } = require('../support/suite')

const REFUSED_STREAM = 7

// It trusts whom the process trusts.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

const get = (url, init) => fetch(url, { ...init, client: 'reqwest' })

test('it speaks HTTP/2, is counted under a name of its own, and leaves room beside unread bodies', {
  skip: isBun,
}, async (scope) => {
  const large = Buffer.alloc(8 * 1024 * 1024)
  const served = await http2Server(scope, {
    onRequest: (request, response) => response.end(request.url === '/large' ? large : request.httpVersion),
    options: { maxSessionMemory: 100 },
  })
  const origin = `https://localhost:${served.port}`
  // Alone: those that come at once may each open a connection.
  assert.strictEqual(await (await get(`${origin}/small`)).text(), '2.0')
  const unread = await Promise.all([1, 2, 3].map(() => get(`${origin}/large`)))
  assert.strictEqual(await (await get(`${origin}/small`)).text(), '2.0')
  for (const response of unread) await response.body.cancel()
  assert.strictEqual(stats().origins[`fetch ${origin}`]?.created, 1)
  assert.strictEqual(served.connections, 1)
})

test('what the server has not looked at is sent again, a POST as well', async (scope) => {
  const seen = []
  /** The first one: of those that come at once each may be on a connection of its own. */
  let refused
  const served = await frameServer(scope, (peer, { type, flags, stream, payload }) => {
    if (type === HEADERS && refused === undefined) {
      refused = { peer, stream }
      return peer.send(reset(stream, REFUSED_STREAM))
    }
    if (peer === refused?.peer && stream === refused.stream) return
    if (peer.number === 1 && stream > 5) return
    if (type === HEADERS && peer.number === 1 && stream === 5) peer.send(goAway(5, 0))
    if (type !== DATA || (flags & END_STREAM) === 0) return
    seen.push(String(payload))
    peer.send(answer(stream, payload))
  })
  const url = `https://localhost:${served.port}/`
  const bodies = ['one', 'two', 'three', 'four', 'five']
  const texts = await Promise.all(bodies.map(async (body) => (await get(url, { method: 'POST', body })).text()))
  assert.deepStrictEqual(texts, bodies)
  assert.deepStrictEqual(seen.sort(), [...bodies].sort())
})

test('it takes http: as well, follows redirects and reads bodies', async (scope) => {
  const server = http.createServer((request, response) => {
    if (request.url === '/moved') response.writeHead(307, { location: '/echo' }).end()
    else request.pipe(response)
  })
  const { port } = await listen(scope, server)
  const response = await get(`http://127.0.0.1:${port}/moved`, { method: 'POST', body: 'kept' })
  assert.deepStrictEqual([response.redirected, await response.text()], [true, 'kept'])
})

test('another word, an agent and an option of the runtime beside it are refused', async (scope) => {
  const invalid = { code: 'ERR_INVALID_ARG_VALUE' }
  const agent = scope.adopt(new HttpsAgent())
  const url = 'https://127.0.0.1:2/'
  await assert.rejects(fetch(url, { client: 'curl' }), invalid)
  await assert.rejects(fetch(url, { client: 'curl', cache: 'no-store' }), invalid)
  await assert.rejects(get(url, { agent }), invalid)
  await assert.rejects(get(url, { integrity: 'sha256-x' }), invalid)
  // What is no text is nobody's word, as any member that the standard does not know; Deno's own are objects.
  if (!isDeno) await assert.rejects(fetch(url, { client: {} }), ({ cause }) => cause.code === 'ECONNREFUSED')
})
