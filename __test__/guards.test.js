'use strict'

// Guards that programs put on a request's socket: they pin keys, or filter addresses, and destroy the request. Nothing of it
// may have been written to a connection that they refuse.

const assert = require('node:assert')
const { once } = require('node:events')

const { read, request } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { testBoth: test } = require('./support/suite')
const { until } = require('./support/wait')

const { http: ownHttp, https: ownHttps } = baseline ? {} : require('..')

const EVENTS = { http: ['lookup', 'connect'], https: ['lookup', 'connect', 'secureConnect'] }
const OK = (_, connection) => connection.write(reply('ok'))
const ways = {
  "the runtime's request": (_scheme, options) => request(options),
  'our own request': (scheme, options) => (scheme === 'http' ? ownHttp : ownHttps).request(options),
}

/** How programs get at the socket. */
const hooks = {
  "in 'socket'": (req, guard) => req.on('socket', guard),
  "when a promise of 'socket' is kept": async (req, guard) => guard((await once(req, 'socket'))[0]),
}

for (const [way, make] of Object.entries(ways)) {
  const options = way === 'our own request' ? { ours: 'is no request of ours' } : {}

  for (const [when, hook] of Object.entries(hooks)) {
    test(
      `nothing is sent with ${way} to a peer that a guard refuses, which listens ${when}`,
      options,
      async (scope) => {
        const peer = await scope.peer(OK)
        const agent = scope.agent({ keepAlive: true })
        for (const event of EVENTS[scope.scheme]) {
          const req = make(scope.scheme, {
            host: 'localhost',
            family: 4,
            port: peer.port,
            agent,
            method: 'POST',
            headers: { authorization: 'Bearer secret' },
          })
          const heard = []
          hook(req, (socket) => {
            socket.on(event, () => {
              heard.push(event)
              req.destroy(new Error('refused'))
            })
          })
          const failed = once(req, 'error')
          req.write('some of the body')
          req.end('and the rest')
          const [error] = await failed
          assert.deepStrictEqual([error.message, heard], ['refused', [event]])
        }
        await until(() => peer.open.size === 0, 'the connections are closed')
        // A server that speaks TLS may not have heard of the connections at all.
        assert.deepStrictEqual(
          [peer.requests.length, ...peer.connections.map(({ bytesReceived }) => bytesReceived)],
          [0, ...peer.connections.map(() => 0)],
        )
      },
    )

    test(`a peer that a guard accepts, which listens ${when}, is sent the whole of ${way}`, options, async (scope) => {
      const peer = await scope.peer(OK)
      const agent = scope.agent({ keepAlive: true })
      const req = make(scope.scheme, { host: '127.0.0.1', port: peer.port, agent, method: 'PUT' })
      const order = []
      hook(req, (socket) => socket.on('connect', () => order.push('connect')))
      req.on('finish', () => order.push('finish'))
      const answer = read(req)
      req.write('ünd ', 'utf8', () => order.push('written'))
      req.write(Buffer.alloc(40_000, 'b'))
      req.end('6f6b', 'hex')
      assert.strictEqual((await answer).body, 'ok')
      assert.strictEqual(peer.requests[0].body.toString(), `ünd ${'b'.repeat(40_000)}ok`)
      assert.deepStrictEqual(order, ['connect', 'written', 'finish'])
    })
  }
}

test('a guard sees the connection that takes the place of a dead one before anything is sent on it', {
  ours: 'fails where a connection would have to be replaced',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  const event = scope.scheme === 'http' ? 'connect' : 'secureConnect'
  const options = { host: '127.0.0.1', port: peer.port, agent }
  const seen = []
  let isTrusted = true
  /** A guard that stays, as those do that programs put on each new socket. */
  const guarded = new WeakSet()
  const guard = (socket) => {
    if (guarded.has(socket)) return
    guarded.add(socket)
    socket.on(event, () => {
      seen.push(isTrusted)
      if (!isTrusted) socket.destroy(new Error('refused'))
    })
  }
  const get = (path, onSocket = guard) => {
    const req = request({ ...options, path })
    req.on('socket', onSocket)
    req.end()
    return read(req)
  }
  /** Its lease is of a connection that dies before a byte of it is written. */
  const replaced = (path) =>
    get(path, () => {
      for (const connection of peer.open) connection.reset()
    })

  await get('/first')
  assert.strictEqual((await replaced('/accepted')).body, 'ok')
  assert.deepStrictEqual([seen, peer.accepted], [[true, true], 2])

  isTrusted = false
  await assert.rejects(replaced('/refused'), /refused/)
  assert.deepStrictEqual(seen, [true, true, false])
  await until(() => peer.accepted === 3, 'the refused connection is accepted')

  // Our own request, on a connection that another one has put a guard on.
  isTrusted = true
  await get('/second')
  isTrusted = false
  for (const connection of peer.open) connection.reset()
  const own = (scope.scheme === 'http' ? ownHttp : ownHttps).request({ ...options, path: '/own' })
  own.end()
  const [outcome] = await Promise.allSettled([read(own)])
  const sent = peer.requests.map(({ target }) => target)
  // If the end was seen before the lease, the connection is new, and no guard is on it.
  if (outcome.status === 'fulfilled') assert.strictEqual(own.reusedSocket, false)
  else assert.match(outcome.reason.message, /refused/)
  assert.deepStrictEqual(sent.slice(0, 3), ['/first', '/accepted', '/second'])
  assert.strictEqual(sent.length, outcome.status === 'fulfilled' ? 4 : 3)
})
