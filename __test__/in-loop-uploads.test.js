'use strict'

// Large pieces of request bodies, which the thread that asks sends from where the program has them.

const assert = require('node:assert')

const { fetch, http: ownHttp, https: ownHttps } = require('..')
const { hasEventLoop, looksItself } = require('../lib/runtime/probes')
const { random, read, request, send } = require('./support/client')
const { IN_LOOP, lookForLonger, restsDuring } = require('./support/io-thread')
const { reply } = require('./support/peer')
const { testBoth } = require('./support/suite')
const { delay, once, repeatedly } = require('./support/wait')

/** It shows whether a part of it is missing, doubled or elsewhere. */
const PATTERN = Buffer.from(Array.from({ length: 700_000 }, (_, at) => at.toString(36).padStart(4, '0')).join(' '))

const TEXT = PATTERN.toString('latin1', 0, 40_000)

/** A copy of its own, which may be changed. */
const patternOf = (length) => Buffer.from(PATTERN.subarray(0, length))

const own = (scope) => (scope.scheme === 'https' ? ownHttps : ownHttp)

testBoth(
  'a lone large body costs the I/O thread next to nothing',
  {
    ...IN_LOOP,
    skip: IN_LOOP.skip || (!hasEventLoop && 'who looks has it sent by the I/O thread, if that takes longer'),
  },
  async (scope) => {
    const peer = await scope.peer(({ received }, connection) => connection.write(reply(String(received))))
    const rounds = (agent, by) => async () => {
      for (let i = 0; i < 60; i += 1) {
        const body = i < 30 ? 'x' : i % 2 === 0 ? TEXT : PATTERN.subarray(0, 400_000)
        const sent = by({ method: 'POST', host: '127.0.0.1', port: peer.port, agent, ca: scope.identity?.cert })
        const answer = read(sent)
        sent.end(body)
        assert.strictEqual((await answer).body, String(body.length))
      }
    }
    for (const by of [request, own(scope).request]) {
      const agents = [scope.agent({ keepAlive: true }), scope.agent({ keepAlive: true, io: 'thread' })]
      const [lone, all] = agents.map((agent) => rounds(agent, by))
      await repeatedly(async () => {
        await lone()
        const [ofLone, ofAll] = [await restsDuring(lone), await restsDuring(all)]
        assert.ok(ofLone < ofAll / 3, `${ofLone}, ${ofAll} with io: 'thread'`)
      })
    }
  },
)

/** What a server does with a request whose head is there. */
const MANNERS = {
  'reads it': () => {},
  'begins late': async (connection) => {
    connection.socket.pause()
    await delay(3)
    connection.socket.resume()
  },
  'reads by and by': async (connection) => {
    for (let i = 0; i < 4; i += 1) {
      connection.socket.pause()
      await delay(1)
      connection.socket.resume()
      await once(connection.socket, 'data')
    }
  },
  hangs: async (connection) => {
    connection.socket.pause()
    await delay(30)
    connection.socket.resume()
  },
}

/** How a program sends a body. */
const WRITERS = {
  end: (sent, body) => sent.end(body),
  'write, end': (sent, body) => {
    sent.write(body)
    sent.end()
  },
  'two at once': (sent, body) => {
    sent.write(body.subarray(0, body.length / 2))
    sent.end(body.subarray(body.length / 2))
  },
  'the end later': (sent, body) => {
    sent.write(body)
    setTimeout(() => sent.end(), 3)
  },
  'piece by piece': async (sent, body) => {
    const copy = Buffer.from(body)
    for (let at = 0; at < copy.length; at += 70_000) {
      if (!sent.write(copy.subarray(at, at + 70_000))) await once(sent, 'drain')
    }
    sent.end()
  },
}

testBoth("a large body is the server's, byte for byte, whoever sends it", IN_LOOP, async (scope) => {
  if (looksItself) lookForLonger(scope)
  const next = random(17)
  const pick = (from) => from[Math.floor(next() * from.length)]
  const manners = Object.keys(MANNERS)
  const writers = Object.keys(WRITERS)
  const peer = await scope.peer({
    onHead: ({ headers }, connection) => void MANNERS[headers['x-manner']](connection),
    onRequest: ({ body }, connection) => {
      const isWhole = body.equals(PATTERN.subarray(0, body.length))
      connection.write(reply(`${body.length} ${isWhole}`))
    },
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 4 })
  const options = { host: '127.0.0.1', port: peer.port, agent, ca: scope.identity?.cert }
  const one = async (i) => {
    const manner = pick(manners)
    const writer = pick(writers)
    const length =
      pick([0, 16_000, 60_000, 64_000, 70_000, 1_000_000, 2_000_000, 3_000_000]) + Math.floor(next() * 2_000)
    const method = pick(['POST', 'PUT'])
    const body = patternOf(length)
    const headers = { 'Content-Length': length, 'X-Manner': manner }
    const what = `${i}: ${method} of ${length}, ${writer}, the server ${manner}`
    let answer
    if (next() < 0.2) {
      const url = `${scope.scheme}://127.0.0.1:${peer.port}/`
      answer = fetch(url, { method, headers: { 'X-Manner': manner }, body, agent }).then((response) => response.text())
    } else {
      const by = next() < 0.5 ? request : own(scope).request
      const sent = by({ ...options, method, headers })
      answer = read(sent).then((read) => read.body)
      // From then on a program may change its memory.
      sent.once('finish', () => body.fill(0))
      void WRITERS[writer](sent, body)
    }
    assert.strictEqual(await answer, `${length} true`, what)
  }
  for (let i = 0; i < 90; i += 1) {
    const width = pick([1, 1, 1, 2, 5])
    if (width === 1) for (let k = 0; k < 4; k += 1) await send({ ...options, headers: { 'X-Manner': 'reads it' } })
    await Promise.all(Array.from({ length: width }, () => one(i)))
  }
})
