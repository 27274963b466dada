'use strict'

// Response smuggling: what a server says beyond the response that was asked for, or in a way that two readers would
// understand differently, is never delivered to another request, over http and https. Each case is met by the first
// request on a connection; whatever becomes of that one, those after it get their own answers, on another connection.

const assert = require('node:assert')

const { send } = require('./support/client')
const { chunkedReply, reply } = require('./support/peer')
const { isNode, major } = require('./support/runtime')
const { testBoth } = require('./support/suite')
const { turns, until } = require('./support/wait')

const POISON = reply('poison', ['X-Poison: yes'])
const OWN = 'own'
const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
const MOST_INFORMATIONAL = 1_000
const OURS = { ours: 'may keep the connection' }
const older = isNode && major < 20

/** A response that has ended, and what may come behind it. */
const responses = {
  'by length': reply(OWN),
  'in chunks': chunkedReply([OWN]),
  'in chunks with trailers': chunkedReply([OWN], ['Trailer: X-Sum'], ['X-Sum: 1']),
  'without a body': 'HTTP/1.1 204 No Content\r\n\r\n',
  'to HEAD': `HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n`,
}

const surpluses = {
  'a second response': POISON,
  'half a second response': POISON.slice(0, 20),
  'an informational response': EARLY_HINTS,
  'bytes of no response': 'poison',
  'an empty line': '\r\n',
}

/** Heads that two readers may understand differently. */
const ambiguous = {
  'two different Content-Length': ['Content-Length: 3', `Content-Length: ${3 + POISON.length}`],
  'a list of different lengths': [`Content-Length: 3, ${3 + POISON.length}`],
  'a Content-Length that is a list': ['Content-Length: 3, 3'],
  'Content-Length with a sign': ['Content-Length: +3'],
  'Content-Length in hexadecimal': ['Content-Length: 0x3'],
  'Content-Length with a space': ['Content-Length: 3 3'],
  'Transfer-Encoding, then Content-Length': ['Transfer-Encoding: chunked', 'Content-Length: 3'],
  'Content-Length, then Transfer-Encoding': ['Content-Length: 3', 'Transfer-Encoding: chunked'],
  'an unknown coding and Content-Length': ['Transfer-Encoding: xchunked', 'Content-Length: 3'],
  'a space before the colon of Content-Length': ['Content-Length : 3', 'Content-Length: 9'],
}

/**
 * Answers the first request of all by `misbehave`, later ones with their own path.
 * @returns {Promise<object>} `first`: that request's answer, or its error; `misbehaved`: its connection
 */
async function meet(scope, misbehave, options = {}) {
  let misbehaved = null
  const peer = await scope.peer((request, connection) => {
    if (misbehaved === null) {
      misbehaved = connection
      return misbehave(connection)
    }
    connection.write(reply(request.target))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const first = await send({ port: peer.port, path: '/first', agent, ...options }).catch((error) => error)
  return { agent, first, peer, misbehaved }
}

/** Requests one after another and queued: each gets its own answer, none over that connection. */
async function othersAreServed({ agent, peer, misbehaved }, methods = ['GET', 'POST']) {
  for (const method of methods) {
    const { body, headers } = await send({ port: peer.port, path: `/${method}`, method, agent })
    assert.deepStrictEqual([body, headers['x-poison']], [`/${method}`, undefined])
  }
  const queued = ['/a', '/b', '/c'].map((path) => send({ port: peer.port, path, agent }))
  assert.deepStrictEqual(
    (await Promise.all(queued)).map(({ body }) => body),
    ['/a', '/b', '/c'],
  )
  assert.strictEqual(misbehaved.requests.length, 1)
}

for (const [how, response] of Object.entries(responses)) {
  const method = how === 'to HEAD' ? 'HEAD' : 'GET'
  for (const [what, surplus] of Object.entries(surpluses)) {
    testBoth(`${what} in the same packet behind a response ${how} reaches nobody`, OURS, async (scope) => {
      const met = await meet(scope, (connection) => connection.write(response + surplus), { method })
      if (!(met.first instanceof Error)) assert.ok(!met.first.body.includes('poison'), met.first.body)
      await othersAreServed(met)
    })

    testBoth(`${what} in a later packet behind a response ${how} reaches nobody`, OURS, async (scope) => {
      const met = await meet(scope, (connection) => connection.write(response), { method })
      assert.strictEqual(met.first.body, method === 'HEAD' || how === 'without a body' ? '' : OWN)
      met.misbehaved.write(surplus)
      await met.misbehaved.closed.promise
      await until(() => met.agent.totalSocketCount === 0)
      await othersAreServed(met)
    })
  }
}

testBoth('a second response while requests are queued reaches none of them', async (scope) => {
  let answered = 0
  const peer = await scope.peer((request, connection) => {
    answered++
    connection.write(answered % 3 === 1 ? reply(request.target) + POISON : reply(request.target))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const paths = Array.from({ length: 60 }, (_, i) => `/${i}`)
  const answers = await Promise.all(paths.map((path) => send({ port: peer.port, path, agent })))
  assert.deepStrictEqual(
    answers.map(({ body }) => body),
    paths,
  )
})

for (const [what, headers] of Object.entries(ambiguous)) {
  const skip = older && what.startsWith('a space') && 'this Node has an older parser'
  testBoth(`${what}: the response is refused, and what follows reaches nobody`, { skip }, async (scope) => {
    const head = ['HTTP/1.1 200 OK', ...headers, '', ''].join('\r\n')
    const met = await meet(scope, (connection) => connection.write(`${head}own${POISON}`))
    assert.ok(met.first instanceof Error, `answered: ${met.first.body}`)
    await othersAreServed(met)
  })
}

for (const [count, isTaken] of [
  [MOST_INFORMATIONAL, true],
  [MOST_INFORMATIONAL + 1, false],
  [20 * MOST_INFORMATIONAL, false],
]) {
  testBoth(
    `${count} informational responses: ${isTaken ? 'taken' : 'refused'}`,
    { ours: 'has no limit' },
    async (scope) => {
      const met = await meet(scope, (connection) => connection.write(EARLY_HINTS.repeat(count) + reply(OWN)))
      if (isTaken) assert.strictEqual(met.first.body, OWN)
      else assert.strictEqual(met.first.code, 'HPE_HEADER_OVERFLOW')
      if (!isTaken) await othersAreServed(met)
    },
  )
}

testBoth(
  'an endless flood of informational responses ends with an error, and its connection',
  {
    ours: 'reads on',
  },
  async (scope) => {
    const flood = async (connection) => {
      while (!connection.raw.destroyed) {
        connection.write(EARLY_HINTS.repeat(50))
        await turns()
      }
    }
    const met = await meet(scope, (connection) => void flood(connection))
    assert.strictEqual(met.first.code, 'HPE_HEADER_OVERFLOW')
    await met.misbehaved.closed.promise
    await othersAreServed(met)
  },
)

testBoth(
  'a response that comes before its request is asked is not its response',
  { ours: 'takes it' },
  async (scope) => {
    const peer = await scope.peer({
      onConnection: (connection) => connection.peer.connections.length === 1 && connection.write(POISON),
      onRequest: (request, connection) => connection.write(reply(request.target)),
    })
    const agent = scope.agent({ keepAlive: true })
    await agent.preconnect(`${scope.scheme}://127.0.0.1:${peer.port}`, 1)
    await until(() => agent.totalSocketCount === 0)
    assert.strictEqual((await send({ port: peer.port, path: '/own', agent })).body, '/own')
  },
)
