'use strict'

// What a name server is asked, counted by one of our own.

const assert = require('node:assert')
const tls = require('node:tls')

const { makeAuthority } = require('./support/authority')
const { runScript } = require('./support/child')
const { answer, endsRequest, serveFrames } = require('./support/frames')
const { nameServer } = require('./support/name-server')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { test } = require('./support/suite')
const { Agent } = baseline ? {} : require('..')

const OURS = { skip: baseline && 'the runtime asks for each socket', timeout: 60_000 }

/**
 * @param {import('./support/suite').Scope} scope
 * @param {string} what
 * @param {(peers: any) => void | Promise<void>} [change] what happens between ten requests and ten more
 */
async function asked(scope, what, change = () => {}, body = 'ok') {
  let begun
  const untilBegun = new Promise((resolve) => (begun = () => resolve('127.0.0.1')))
  const answers = { one: '127.0.0.1', live: '127.0.0.1', dead: undefined, none: null }
  if (what === 'burst') answers.one = untilBegun
  const server = await nameServer(scope, (name) => answers[name.match(/^[a-z]+/)[0]])
  // Said aloud, since a skipped test would look the same on a machine where it must run.
  if (server === null) return console.log('# no name server of our own here: nothing was tested')
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/begun') begun()
    connection.write(reply(body))
  })
  const control = await scope.peer(async ({ target }, connection) => {
    await change({ answers, peer, target })
    connection.write(reply('ok'))
  })
  const { code, late, stderr, lines } = await runScript('names', [what, peer.port, control.port], {
    under: server.under,
  })
  assert.ok(code === 0 && !late, stderr)
  return { told: lines[0], queries: server.queries, peer }
}

test('what the option dns does not know is refused', OURS, () => {
  for (const dns of [{ resolver: 'dns' }, { servers: ['127.0.0.1'] }, { TTL: 5 }, { ttl: '5' }, { maxThreads: 0 }, 5]) {
    assert.throws(
      () => new Agent({ dns }),
      { code: /^ERR_(INVALID_ARG_(VALUE|TYPE)|OUT_OF_RANGE)$/ },
      JSON.stringify(dns),
    )
  }
})

test('a thousand requests at once to one name ask for it once', OURS, async (scope) => {
  const seen = await asked(scope, 'burst')
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told, { served: 1_000 })
  assert.deepStrictEqual(seen.queries, ['one.test A'])
})

test('names that never answer hold no others back', OURS, async (scope) => {
  const seen = await asked(scope, 'dead')
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told, { served: 180, settled: 0 })
  assert.strictEqual(new Set(seen.queries).size, 200)
})

test('more of them than there are threads hold none back either, if an agent allows for more', OURS, async (scope) => {
  const seen = await asked(scope, 'many-dead')
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told, { served: 30, settled: 0 })
})

test('an agent that remembers names asks for one once', OURS, async (scope) => {
  const seen = await asked(scope, 'remembered')
  if (seen === undefined) return
  const dns = { entries: 1, hits: 19, stale: 0, misses: 1, dropped: 0 }
  assert.deepStrictEqual(seen.told, { ends: ['200'], dns })
  assert.deepStrictEqual(seen.queries, ['one.test A'])
  assert.strictEqual(seen.peer.accepted, 20)
})

test('what it remembers serves while the name server is silent', OURS, async (scope) => {
  const seen = await asked(scope, 'down', ({ answers }) => {
    answers.one = undefined
  })
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told.ends, ['200'])
  assert.ok(seen.told.dns.stale >= 10, JSON.stringify(seen.told))
})

test('no request fails when a server moves away from where it is remembered', OURS, async (scope) => {
  const seen = await asked(scope, 'moved', async ({ answers, peer }) => {
    const { port } = peer
    await peer.close()
    await scope.peer((_, connection) => connection.write(reply('moved')), { port, host: '127.0.0.2' })
    answers.one = '127.0.0.2'
  })
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told.ends, ['200'])
  assert.deepStrictEqual(seen.queries, ['one.test A', 'one.test A'])
  assert.strictEqual(seen.told.dns.dropped, 1)
})

test('that there is no such name is remembered too', OURS, async (scope) => {
  const seen = await asked(scope, 'unknown')
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told.ends, ['ENOTFOUND'])
  assert.strictEqual(new Set(seen.queries).size, seen.queries.length, 'each question once')
  assert.strictEqual(seen.told.dns.hits, 19)
})

test('connections follow a name that moves, and no request fails, POSTs included', OURS, async (scope) => {
  const places = { '/first': '127.0.0.1', '/second': '127.0.0.2' }
  const others = []
  const seen = await asked(
    scope,
    'rotated',
    async ({ answers, peer, target }) => {
      if (others.length === 0) {
        const there = { port: peer.port, host: '127.0.0.2' }
        others.push(await scope.peer((_, connection) => connection.write(reply('second')), there))
      }
      answers.one = places[target]
    },
    'first',
  )
  if (seen === undefined) return
  const { isServed, errors, gone, created, open, followedMs } = seen.told
  assert.deepStrictEqual({ isServed, errors }, { isServed: true, errors: [] })
  // Every connection that is no more has ended for that reason.
  assert.ok(gone >= 3 && created === gone + open, JSON.stringify(seen.told))
  // A name holds for 200 ms, and connections leave within a tenth of that; the rest is for a machine that has other things to do.
  assert.ok(
    followedMs.every((ms) => ms < 20_000),
    JSON.stringify(followedMs),
  )
})

test('so do connections of HTTP/2', OURS, async (scope) => {
  const answers = { one: '127.0.0.1' }
  const server = await nameServer(scope, (name) => answers[name.split('.')[0]])
  if (server === null) return console.log('# no name server of our own here: nothing was tested')
  const places = { first: '127.0.0.1', second: '127.0.0.2' }
  const sessions = []
  let port = 0
  for (const [body, host] of Object.entries(places)) {
    port = await http2Place(scope, body, host, port, sessions)
  }
  const control = await scope.peer(({ target }, connection) => {
    answers.one = places[target.slice(1)]
    connection.write(reply('ok'))
  })
  const { code, late, stderr, lines } = await runScript('names', ['rotated', port, control.port, 'https'], {
    under: server.under,
  })
  assert.ok(code === 0 && !late, stderr)
  const { isServed, errors, followedMs } = lines[0]
  assert.deepStrictEqual({ isServed, errors }, { isServed: true, errors: [] })
  // An answer that was under way while the name moved may have had a connection leave once more: once for each move.
  const moves = sessions.filter((place, at) => place !== sessions[at - 1])
  assert.deepStrictEqual(moves, ['first', 'second', 'first', 'second'])
  assert.ok(sessions.length < 2 * moves.length, sessions.join(' '))
  assert.ok(
    followedMs.every((ms) => ms < 20_000),
    JSON.stringify(followedMs),
  )
})

/**
 * A server that speaks HTTP/2, and answers with `body`: frame by frame, since Deno's own server corrupts its process's heap now and
 * then when clients leave.
 * @param {import('./support/suite').Scope} scope
 * @param {string} body
 * @param {string} host
 * @param {number} port
 * @param {string[]} sessions whose they were, in order
 * @returns {Promise<number>} its port
 */
async function http2Place(scope, body, host, port, sessions) {
  const { server: identity } = await makeAuthority()
  const open = new Set()
  const options = { cert: identity.pem, key: identity.key, ALPNProtocols: ['h2'] }
  const server = tls.createServer(options, (socket) => {
    sessions.push(body)
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
    serveFrames(socket, sessions.length, (peer, given) => {
      if (endsRequest(given)) peer.send(answer(given.stream, body))
    })
  })
  await new Promise((resolve) => server.listen(port, host, () => resolve(undefined)))
  scope.defer(async () => {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return server.address().port
}
