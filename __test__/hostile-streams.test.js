'use strict'

// Responses that never end: whatever a server sends without end, requests beside it are served, and an abort or a deadline
// ends it. The server runs in a process of its own (support/hostile-peer.js).

const assert = require('node:assert')
const { once } = require('node:events')
const http = require('node:http')
const https = require('node:https')

const { failure, send } = require('./support/client')
const { SHORT_CHUNKS } = require('./support/hostile-peer')
const { baseline, isDeno, isNode } = require('./support/runtime')
const { ways } = require('./support/streams')
const { test: testOne } = require('./support/suite')
const { delay } = require('./support/wait')

const keepwire = baseline ? {} : require('..')

const OURS = { ours: 'has no such limits', timeout: 60_000 }
const BESIDE = 8

/** As testBoth, but without floods over TLS where the server, which is of the same runtime, has them wait for nobody. */
function test(sentence, options, body) {
  const skip = !isNode && sentence.includes('flood') && "this runtime's own TLS server can't flood"
  testOne(`http: ${sentence}`, { ...options, scheme: 'http' }, body)
  testOne(`https: ${sentence}`, { ...options, scheme: 'https', skip }, body)
}

/** What each flood comes to; nothing: it goes on until it is given up. */
const FLOODS = {
  zeros: 'HPE_INVALID_CHUNK_SIZE',
  'empty-lines': 'HPE_HEADER_OVERFLOW',
  extension: 'HPE_CHUNK_EXTENSIONS_OVERFLOW',
  'empty-extensions': 'HPE_CHUNK_EXTENSIONS_OVERFLOW',
  informational: 'HPE_HEADER_OVERFLOW',
  fields: 'HPE_HEADER_OVERFLOW',
  'one-field': 'HPE_HEADER_OVERFLOW',
  trailers: 'HPE_HEADER_OVERFLOW',
  // Deno's JavaScript thread does not get through these events in time.
  ...(isDeno ? {} : { 'one-byte-chunks': undefined, 'chunks-with-extensions': undefined }),
  'trickled-zeros': undefined,
  'trickled-body': undefined,
}

/** Which deadline ends each trickle: none of its bytes is what is waited for. */
const DEADLINES = {
  'trickled-zeros': 'ERR_KEEPWIRE_BODY_TIMEOUT',
  'trickled-extension': 'ERR_KEEPWIRE_BODY_TIMEOUT',
  'trickled-empty-lines': 'ERR_KEEPWIRE_HEADERS_TIMEOUT',
  'trickled-head': 'ERR_KEEPWIRE_HEADERS_TIMEOUT',
}

/** Agents with one deadline each: on a loaded machine a head may come later than the body's deadline allows. */
const impatient = (scope) => ({
  ERR_KEEPWIRE_HEADERS_TIMEOUT: scope.agent({ keepAlive: true, headersTimeout: 200 }),
  ERR_KEEPWIRE_BODY_TIMEOUT: scope.agent({ keepAlive: true, bodyTimeout: 200 }),
})

/** What a flood comes to beside which requests are served. One that is endless goes on until it is given up. */
async function endBeside(flood, { path, isEndless, port, agent }) {
  let isOver = false
  flood.over.then(() => (isOver = true))
  for (let i = 0; i < BESIDE; i++) {
    const { body } = await send({ port, path: '/', agent })
    assert.strictEqual(body, 'hello', path)
  }
  if (isEndless) {
    assert.strictEqual(isOver, false, `${path} has ended by itself`)
    flood.destroy()
  }
  return flood.over
}

for (const [name, begin] of Object.entries(ways)) {
  test(`${name}: requests beside floods are served, and they end when they are given up`, OURS, async (scope) => {
    const { port } = await scope.remote('hostile-peer.js')
    const agent = scope.agent({ keepAlive: true })
    for (const [path, code] of Object.entries(FLOODS)) {
      const flood = begin({ scheme: scope.scheme, port, path: `/${path}`, agent })
      const error = await endBeside(flood, { path, isEndless: code === undefined, port, agent })
      if (code === undefined) continue
      assert.ok(error instanceof Error, path)
      // fetch has words of its own.
      if (name !== 'fetch') assert.strictEqual(error.code, code, path)
    }
  })

  test(`${name}: a deadline ends what brings nothing that is waited for`, OURS, async (scope) => {
    const { port } = await scope.remote('hostile-peer.js')
    const agents = impatient(scope)
    const ended = Object.entries(DEADLINES).map(async ([path, code]) => {
      const error = await begin({ scheme: scope.scheme, port, path: `/${path}`, agent: agents[code] }).over
      assert.strictEqual(error?.code, code, path)
    })
    await Promise.all(ended)
  })
}

/** What floods of records come to that are no data, or hardly any; nothing: they go on until they are given up. */
const RECORD_FLOODS = {
  sessions: undefined,
  'sessions-in-a-body': undefined,
  'sessions-between-data': undefined,
  'records-of-a-byte': undefined,
  keys: 'ERR_SSL_TOO_MANY_KEY_UPDATES',
  nothing: 'ERR_SSL_RECORD_TOO_SMALL',
}

/** Which deadline ends them. */
const RECORD_DEADLINES = {
  sessions: 'ERR_KEEPWIRE_HEADERS_TIMEOUT',
  'sessions-in-a-body': 'ERR_KEEPWIRE_BODY_TIMEOUT',
}

const RECORDS = { ...OURS, scheme: 'https', skip: !isNode && "this runtime's server does not tell its keys" }

for (const [name, begin] of Object.entries(ways)) {
  testOne(`https: ${name}: requests beside floods of records that are no data are served`, RECORDS, async (scope) => {
    const { port, recordPort } = await scope.remote('hostile-peer.js')
    const agent = scope.agent({ keepAlive: true })
    for (const [path, code] of Object.entries(RECORD_FLOODS)) {
      const flood = begin({ scheme: 'https', port: recordPort, path: `/${path}`, agent })
      const error = await endBeside(flood, { path, isEndless: code === undefined, port, agent })
      if (code !== undefined) assert.strictEqual(error.code, code, path)
    }
  })

  testOne(`https: ${name}: a deadline ends a flood of records that are no data`, RECORDS, async (scope) => {
    const { recordPort: port } = await scope.remote('hostile-peer.js')
    const agents = impatient(scope)
    for (const [path, code] of Object.entries(RECORD_DEADLINES)) {
      const error = await begin({ scheme: scope.scheme, port, path: `/${path}`, agent: agents[code] }).over
      assert.strictEqual(error?.code, code, path)
    }
  })
}

testOne('https: an idle connection that floods with records holds nobody up, and is closed', RECORDS, async (scope) => {
  const remote = await scope.remote('hostile-peer.js')
  const agent = scope.agent({ keepAlive: true })
  for (let i = 0; i < BESIDE; i++) {
    for (const port of [remote.recordPort, remote.port]) {
      assert.strictEqual((await send({ port, path: '/', agent })).body, 'hello')
    }
  }
  // The other one goes on.
  while ((await remote.counts()).open > 1) await delay(5)
})

test('a deadline or a limit ends a head that is a flood', OURS, async (scope) => {
  const { port } = await scope.remote('hostile-peer.js')
  const agent = scope.agent({ keepAlive: true, headersTimeout: 100 })
  const floods = ['empty-lines', 'fields'].map((path) => failure(send({ port, path: `/${path}`, agent })))
  for (const error of await Promise.all(floods)) assert.match(error.code, /^HPE_HEADER_OVERFLOW$|HEADERS_TIMEOUT$/)
})

for (const name of ['http.request', 'our own request']) {
  test(
    `${name}: more chunks than wait for a reader at once all come, one by one, also to one who pauses`,
    OURS,
    async (scope) => {
      const { port } = await scope.remote('hostile-peer.js')
      const agent = scope.agent({ keepAlive: true })
      const runtime = scope.scheme === 'https' ? https : http
      const module = name === 'http.request' ? runtime : keepwire[scope.scheme]
      for (const pauses of [false, true]) {
        const request = module.request({ host: '127.0.0.1', port, path: '/short-chunks', agent })
        request.end()
        const [response] = await once(request, 'response')
        let chunks = 0
        response.on('data', (chunk) => {
          chunks += chunk.length
          if (!pauses || chunks % 500 !== 0) return
          response.pause()
          setImmediate(() => response.resume())
        })
        await once(response, 'end')
        assert.strictEqual(chunks, SHORT_CHUNKS)
      }
    },
  )
}

test('a paused response that floods holds nobody up', OURS, async (scope) => {
  const { port } = await scope.remote('hostile-peer.js')
  const agent = scope.agent({ keepAlive: true })
  const request = (scope.scheme === 'https' ? https : http).get({
    host: '127.0.0.1',
    port,
    path: '/one-byte-chunks',
    agent,
  })
  request.on('error', () => {})
  await new Promise((resolve) => request.on('response', (response) => resolve(response.pause())))
  await delay(50)
  for (let i = 0; i < BESIDE; i++) assert.strictEqual((await send({ port, path: '/', agent })).body, 'hello')
  request.destroy()
})
