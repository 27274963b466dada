'use strict'

// What users set on `req.socket` reaches the engine's socket: looked up in the kernel, and compared with what the runtime's
// own sockets make of the same calls.

const assert = require('node:assert')
const fs = require('node:fs')
const net = require('node:net')

const { get, read, request } = require('./support/client')
const { reply } = require('./support/peer')
const { isNode } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { once, until } = require('./support/wait')

const OK = (_, connection) => connection.write(reply('ok'))
const KEEP_ALIVE = { keepAlive: true }
const TCP_TABLE = '/proc/net/tcp'
const KEEPALIVE_TIMER = 2
const HERTZ = 100

/**
 * The kernel's timer of the connection from a local port to another: which one, and in how many seconds.
 * @param {number} localPort
 * @param {number} remotePort
 */
function timerOf(localPort, remotePort) {
  const port = (number) => number.toString(16).toUpperCase().padStart(4, '0')
  const ends = new RegExp(`: \\w+:${port(localPort)} \\w+:${port(remotePort)} 01 \\w+:\\w+ (\\w+):(\\w+) `)
  const [, kind, jiffies] = ends.exec(fs.readFileSync(TCP_TABLE, 'latin1')) ?? []
  return { kind: Number(kind), seconds: Number.parseInt(jiffies, 16) / HERTZ }
}

/** Waits until the connection has nothing else to wait for than its next probe, if there is one. */
function probesOf(socket) {
  return until(() => {
    // That it is open may be told a little later than its first bytes arrive.
    if (socket.localPort === undefined) return undefined
    const timer = timerOf(socket.localPort, socket.remotePort)
    if (timer.kind !== 0 && timer.kind !== KEEPALIVE_TIMER) return undefined
    // The machine may be slow: hundreds of seconds.
    return timer.kind === 0 ? 'none' : `in ${Math.round(timer.seconds / 100)}00 s`
  }, 'its timer is that of the probes')
}

const skip = (!fs.existsSync(TCP_TABLE) && 'needs /proc') || (!isNode && 'others count in other units')

testBoth('probes come when setKeepAlive() says so, in every form that the runtime knows', { skip }, async (scope) => {
  const peer = await scope.peer(OK)
  const calls = [
    [true, 500_000],
    [false],
    [true, '600000'],
    [true, 700_000, 2_000, 3],
    // Of an interval of 0, or no count, nothing but "on" is left: the last numbers stay.
    [true, 300_000, 500],
    [true, 400_000, 2_000, 0],
    [true, 800_000, -2_000, -1],
    // Where objects are not known, they are true.
    [{ enable: false, initialDelay: 300_000 }],
    [{ enable: true, initialDelay: 900_000, interval: 3_500, count: 7 }],
    [{ enable: 1, initialDelay: 400_000, interval: undefined, count: undefined }],
    [{}],
    [true, 1_000_000, null, null],
    [null],
  ]
  const seen = []
  for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
    const headers = { 'content-length': calls.length }
    // One request for all: the runtime's agent sets its own delay when a socket is free.
    const sent = request({ method: 'POST', port: peer.port, agent, headers })
    const answer = read(sent)
    const [socket] = await once(sent, 'socket')
    const outcomes = []
    for (const [index, call] of calls.entries()) {
      assert.strictEqual(socket.setKeepAlive(...call), socket)
      // Whoever has sent this has heard of that.
      sent.write('x')
      await until(() => peer.requests.at(-1)?.received === index + 1, 'its byte is there')
      outcomes.push(`${JSON.stringify(call)}: ${await probesOf(socket)}`)
    }
    sent.end()
    await answer
    seen.push(outcomes)
  }
  assert.deepStrictEqual(seen[1], seen[0])
})

testBoth(
  'a connection in place of one that died has the options of its socket',
  {
    skip,
    ours: 'sends nothing again',
  },
  async (scope) => {
    let first
    const peer = await scope.peer((request, connection) => {
      first ??= connection
      if (request.target === '/again' && connection === first) connection.reset()
      else OK(request, connection)
    })
    const agent = scope.agent(KEEP_ALIVE)
    await read(get({ port: peer.port, agent }))
    const again = get({ port: peer.port, path: '/again', agent })
    const [socket] = await once(again, 'socket')
    socket.setKeepAlive(true, 500_000)
    await read(again)
    assert.strictEqual(peer.accepted, 2)
    assert.strictEqual(await probesOf(socket), 'in 500 s')
  },
)

// Over TLS, Node before 24 pays no heed to it.
test('probes come as a request says whose agent says nothing of them', { skip }, async (scope) => {
  const peer = await scope.peer(OK)
  const wanted = [
    { keepAlive: true, keepAliveInitialDelay: 500_000 },
    {},
    { keepAlive: true, keepAliveInitialDelay: 600_000 },
    { keepAlive: false, keepAliveInitialDelay: 700_000 },
  ]
  const seen = []
  for (const agent of [scope.runtimeAgent({}), scope.agent({})]) {
    const outcomes = []
    for (const options of wanted) {
      const sent = request({ method: 'POST', port: peer.port, agent, headers: { 'content-length': 1 }, ...options })
      const answer = read(sent)
      sent.flushHeaders()
      const [socket] = await once(sent, 'socket')
      await until(() => socket.remotePort !== undefined, 'it is open')
      outcomes.push(await probesOf(socket))
      sent.end('x')
      await answer
    }
    seen.push(outcomes)
  }
  assert.deepStrictEqual(seen[1], seen[0])
})

testBoth(
  'an agent that shares finds a connection as it would have opened it',
  {
    skip,
    ours: 'does not share',
  },
  async (scope) => {
    const peer = await scope.peer(OK)
    const options = { keepAlive: true, keepAliveMsecs: 900_000, shared: true }
    const [one, other] = [scope.agent(options), scope.agent(options)]
    const sent = get({ port: peer.port, agent: one })
    const [mine] = await once(sent, 'socket')
    await read(sent)
    const { localPort } = mine
    mine.setKeepAlive(true, 500_000)
    await read(get({ port: peer.port, agent: one }))
    assert.strictEqual(await probesOf(mine), 'in 500 s')
    const next = get({ port: peer.port, agent: other })
    const [yours] = await once(next, 'socket')
    await read(next)
    assert.strictEqual(yours.localPort, localPort)
    assert.strictEqual(await probesOf(yours), 'in 900 s')
  },
)

testBoth(
  'a type of service is set, told and refused as on the runtime’s sockets',
  {
    skip: !net.Socket.prototype.setTypeOfService && 'this runtime knows of none',
  },
  async (scope) => {
    const peer = await scope.peer(OK)
    const seen = []
    for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
      const sent = get({ port: peer.port, agent })
      const [socket] = await once(sent, 'socket')
      await read(sent)
      const outcomes = [socket.getTypeOfService()]
      for (const value of [16, 16, 0, 184, '16', Number.NaN, -1, 256, 2.5, null, undefined]) {
        try {
          assert.strictEqual(socket.setTypeOfService(value), socket)
        } catch ({ name, code, message }) {
          outcomes.push({ name, code, message })
        }
        outcomes.push(socket.getTypeOfService())
      }
      socket.destroy()
      outcomes.push(socket.setTypeOfService(8) === socket, socket.getTypeOfService())
      seen.push(outcomes)
    }
    assert.deepStrictEqual(seen[1], seen[0])
  },
)

testBoth(
  'what the engine’s socket has of a type of service is what the kernel says',
  {
    skip: (!net.Socket.prototype.setTypeOfService || process.platform !== 'linux') && 'no such socket, or kernel',
    ours: 'sets none over TLS',
  },
  async (scope) => {
    const peer = await scope.peer(OK)
    const agent = scope.agent(KEEP_ALIVE)
    const sent = get({ port: peer.port, agent })
    const [socket] = await once(sent, 'socket')
    // Set as soon as there is a connection.
    socket.setTypeOfService(255)
    await read(sent)
    // The lowest two bits are the kernel's.
    assert.strictEqual(socket.getTypeOfService(), 252)
  },
)
