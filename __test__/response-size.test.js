'use strict'

// `maxResponseSize` of a request: by our own request and by the runtime's, over the engine's connections, the runtime's own
// sockets and another agent's.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')

const keepwire = require('..')
const { chunkedReply, reply } = require('./support/peer')
const { testBoth } = require('./support/suite')
const { until } = require('./support/wait')

const TOO_LARGE = 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE'
const MOST = 50_000
const ours = 'has no such option'
const ignoresAgents = typeof http.ClientRequest.prototype.onSocket !== 'function'

/** Replies with so many bytes, as the path asks for them. */
function sized(request, connection) {
  const [, framing, size] = /^\/(\w+)\/(\d+)/.exec(request.target)
  const body = 'x'.repeat(Number(size))
  if (framing === 'length') connection.write(reply(body))
  if (framing === 'chunked') connection.write(chunkedReply(body.match(/.{1,1000}/g) ?? []))
  if (framing === 'closed') connection.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`)
}

/** What becomes of a request: bytes that its response told, and how it ended. */
function outcome(request, options) {
  return new Promise((resolve) => {
    const told = { bytes: 0, heard: [], complete: false }
    const req = request({ host: '127.0.0.1', ...options })
    req.on('error', (error) => told.heard.push(`request: ${error.code}`))
    req.on('response', (res) => {
      res.on('data', (chunk) => {
        told.bytes += chunk.length
      })
      res.on('end', () => told.heard.push('end'))
      res.on('error', ({ code, message }) => told.heard.push(`response: ${code}, ${message}`))
      res.on('close', () => resolve({ ...told, complete: res.complete }))
    })
    req.end()
  })
}

/** Each way of requesting that our agents, or our own request, are part of. */
function waysOf(scope) {
  const own = keepwire[scope.scheme].request
  const agent = scope.agent({ keepAlive: true })
  const usual = { http, https }[scope.scheme].request
  const { ca } = agent.options
  return {
    'own request': (options) => own({ ...options, agent }),
    // A function of the user's own connects: the runtime's sockets.
    'own request, the runtime’s sockets': (options) => own({ ...options, agent, lookup, host: 'a.test' }),
    ...(!ignoresAgents && {
      'the runtime’s request': (options) => usual({ ...options, agent }),
      'own request, another agent': (options) =>
        own({ ...options, ca, agent: scope.runtimeAgent({ keepAlive: true }) }),
      'own request, no agent': (options) => own({ ...options, ca, agent: false }),
    }),
  }
}

const loopback = { address: '127.0.0.1', family: 4 }
const lookup = (_, how, done) => (how.all ? done(null, [loopback]) : done(null, loopback.address, 4))

testBoth('a body of more bytes than maxResponseSize fails, whatever way it comes', { ours }, async (scope) => {
  const peer = await scope.peer(sized)
  const ways = Object.entries(waysOf(scope))
  for (const [way, send] of ways) {
    for (const framing of ['length', 'chunked', 'closed']) {
      const options = { port: peer.port, servername: 'localhost', maxResponseSize: MOST }
      const told = await outcome(send, { ...options, path: `/${framing}/${10 * MOST}` })
      const message = `The response's body has more than ${MOST} bytes, the option "maxResponseSize" of its request`
      const what = `${way}, ${framing}`
      assert.deepStrictEqual(told.heard, [`response: ${TOO_LARGE}, ${message}`], what)
      // Where the body's end is the connection's, Bun's and Deno's own sockets call it complete all the same.
      if (framing !== 'closed') assert.strictEqual(told.complete, false, what)
      assert.ok(told.bytes <= MOST, what)
      for (const maxResponseSize of [MOST, 0, Number.POSITIVE_INFINITY, undefined]) {
        const fits = await outcome(send, { ...options, path: `/${framing}/${MOST}`, maxResponseSize })
        assert.deepStrictEqual(fits, { bytes: MOST, heard: ['end'], complete: true }, `${what}, ${maxResponseSize}`)
      }
    }
  }
  const isTooLarge = ({ target }) => target.endsWith(`/${10 * MOST}`)
  await until(() => ![...peer.open].some(({ requests }) => requests.some(isTooLarge)), 'those connections are closed')
})

testBoth('one byte too many fails, also with the head and the body’s end in one piece', { ours }, async (scope) => {
  const peer = await scope.peer(sized)
  for (const [way, send] of Object.entries(waysOf(scope))) {
    const options = { port: peer.port, servername: 'localhost', path: '/length/11', maxResponseSize: 10.9 }
    const { bytes, heard } = await outcome(send, options)
    assert.deepStrictEqual([bytes, heard.length], [0, 1], way)
    assert.match(heard[0], /^response: ERR_KEEPWIRE_RESPONSE_TOO_LARGE, .* than 10 bytes/, way)
  }
})

testBoth('a maxResponseSize that is no size is refused before anything is sent', { ours }, async (scope) => {
  const peer = await scope.peer(sized)
  for (const [way, send] of Object.entries(waysOf(scope))) {
    for (const [maxResponseSize, code] of [
      ['1', 'ERR_INVALID_ARG_TYPE'],
      [1n, 'ERR_INVALID_ARG_TYPE'],
      [-1, 'ERR_OUT_OF_RANGE'],
      [Number.NaN, 'ERR_OUT_OF_RANGE'],
    ]) {
      const options = { port: peer.port, servername: 'localhost', path: '/length/1', maxResponseSize }
      assert.throws(() => send(options), { code }, `${way}, ${maxResponseSize}`)
    }
  }
  assert.strictEqual(peer.requests.length, 0)
})
