'use strict'

// Frames without end, from a server in a process of its own (support/http2-peer.js): a request ends with an error or when it is
// given up, requests beside it are served, and the connection goes.

const assert = require('node:assert')

const { http2Agent, outcome } = require('../support/http2')
const { isNode } = require('../support/runtime')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

const BESIDE = 8
const SECURE = {
  scheme: 'https',
  skip: !isNode && 'the server is of the same runtime, and floods of other TLS wait for nobody',
}

/** What each flood comes to; nothing: it goes on until it is given up, or its reader can't follow. */
const FLOODS = {
  pings: 'ERR_HTTP2_ERROR',
  settings: 'ERR_HTTP2_ERROR',
  windows: 'ERR_HTTP2_ERROR',
  'stream-windows': 'ERR_HTTP2_ERROR',
  priorities: 'ERR_HTTP2_ERROR',
  unknown: 'ERR_HTTP2_ERROR',
  'large-unknown': 'ERR_HTTP2_ERROR',
  'resets-of-old-streams': 'ERR_HTTP2_ERROR',
  // As the runtimes tell what befalls a response whose head was there.
  'empty-data': 'ECONNRESET',
  informational: 'ERR_HTTP2_ERROR',
  continuations: 'ERR_HTTP2_ERROR',
  'large-continuations': 'ERR_HTTP2_ERROR',
  'bytes-of-data': undefined,
}

const hostile = async (scope) => {
  const remote = await scope.remote('http2-peer.js')
  const ca = scope.identity.ca
  const agent = (options) => http2Agent(scope, { ca, ...options })
  const gone = async () => {
    let counts = await remote.counts()
    await until(() => {
      remote.counts().then((told) => (counts = told))
      return counts.flooding === 0
    }, 'the connection goes')
  }
  return { port: remote.port, agent, gone }
}

test('requests beside floods of frames are served, each flood ends, and its connection goes', {
  ...SECURE,
  timeout: 60_000,
}, async (scope) => {
  const { port, agent, gone } = await hostile(scope)
  const beside = await agent()
  for (const [path, code] of Object.entries(FLOODS)) {
    const own = await agent()
    // Beside it in its own session: an older stream that has been answered.
    assert.strictEqual((await outcome({ port, agent: own })).body, 'hello')
    let request
    const flood = outcome({ port, agent: own, path: `/flood/${path}` }, { use: (asked) => (request = asked).end() })
    for (let i = 0; i < BESIDE; i++) {
      assert.strictEqual((await outcome({ port, agent: beside })).body, 'hello', path)
    }
    if (code === undefined) request.destroy()
    const { error, lateError } = await flood
    assert.strictEqual((error ?? lateError)?.code, code ?? 'ECONNRESET', path)
    own.destroy()
    await gone()
  }
})

test('a flood on a session that nobody waits for ends it', SECURE, async (scope) => {
  const { port, agent, gone } = await hostile(scope)
  const own = await agent()
  const options = { port, agent: own }
  assert.strictEqual((await outcome({ ...options, path: '/after/pings' })).body, 'hello')
  await gone()
  assert.strictEqual((await outcome(options)).body, 'hello')
})

test('a deadline ends what brings nothing that is waited for', SECURE, async (scope) => {
  const { port, agent } = await hostile(scope)
  const frames = ['pings', 'settings', 'windows', 'priorities', 'unknown']
  const ended = frames.map(async (path) => {
    const options = { port, agent: await agent({ headersTimeout: 200 }), path: `/trickle/${path}` }
    assert.strictEqual((await outcome(options)).error?.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT', path)
  })
  await Promise.all(ended)
})

test(
  'a server that takes nothing any more loses its connection when the last request is given up',
  SECURE,
  async (scope) => {
    const { port, agent, gone } = await hostile(scope)
    const own = await agent({ headersTimeout: 200 })
    const options = { port, agent: own, method: 'POST', path: '/deaf' }
    const { error } = await outcome(options, { body: Buffer.alloc(8 << 20) })
    assert.strictEqual(error.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
    own.destroy()
    await gone()
  },
)
