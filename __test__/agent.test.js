'use strict'

// The surface of http.Agent: options and their odd cases, names, the three tables, limits, scheduling, events.

const assert = require('node:assert')
const http = require('node:http')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const fs = require('node:fs')

const { failure, parallel, read, send } = require('./support/client')
const { reply } = require('./support/peer')
const { agentUnderTest, baseline, isBun, isDeno, isNode, major } = require('./support/runtime')
const { test } = require('./support/suite')
const { once, turns, until, withMoreTime } = require('./support/wait')

const Agent = agentUnderTest()
const KEEP_ALIVE = { keepAlive: true }
const FIELDS = [
  'defaultPort',
  'protocol',
  'maxSockets',
  'maxFreeSockets',
  'maxTotalSockets',
  'keepAlive',
  'keepAliveMsecs',
  'scheduling',
  'totalSocketCount',
  'maxRequestsPerSocket',
  'agentKeepAliveTimeoutBuffer',
]

const OK = (_, connection) => connection.write(reply('ok'))

/** A server that answers a request only when the test says so: `held[i].answer()`. */
function holding() {
  const held = []
  const onRequest = (request, connection) => {
    held.push({ request, connection, answer: (bytes = reply('ok')) => connection.write(bytes) })
  }
  return { held, onRequest }
}

function outcome(make) {
  try {
    const agent = make()
    const fields = {}
    for (const field of FIELDS) fields[field] = agent[field]
    const options = {}
    for (const key of Object.keys(agent.options)) options[key] = agent.options[key]
    const nullTables = ['requests', 'sockets', 'freeSockets'].map(
      (table) => Object.getPrototypeOf(agent[table]) === null,
    )
    agent.destroy()
    return { fields, options, nullTables }
  } catch (error) {
    return { error: [error.name, error.code, error.message] }
  }
}

const constructions = [
  undefined,
  null,
  {},
  { keepAlive: true },
  { keepAlive: false },
  { keepAlive: 'yes' },
  { keepAlive: 0 },
  { keepAliveMsecs: 0 },
  { keepAliveMsecs: 5_000 },
  { keepAliveMsecs: '7' },
  { maxSockets: 0 },
  { maxSockets: 5 },
  { maxSockets: '5' },
  { maxSockets: Infinity },
  { maxSockets: -1 },
  { maxSockets: null },
  { maxFreeSockets: 0 },
  { maxFreeSockets: 3 },
  { maxFreeSockets: null },
  { maxTotalSockets: 0 },
  { maxTotalSockets: 1 },
  { maxTotalSockets: -5 },
  { maxTotalSockets: '3' },
  { maxTotalSockets: NaN },
  { maxTotalSockets: null },
  { maxTotalSockets: Infinity },
  { maxTotalSockets: 1.5 },
  { scheduling: 'lifo' },
  { scheduling: 'fifo' },
  { scheduling: 'random' },
  { scheduling: '' },
  { scheduling: 1 },
  { scheduling: null },
  { timeout: 100 },
  { timeout: 0 },
  { noDelay: false },
  { noDelay: true },
  { host: 'h', port: 1, path: '/p' },
  { socketPath: '/x' },
  { localAddress: '127.0.0.1', family: 4 },
  { defaultPort: 8080 },
  { protocol: 'x:' },
  { agentKeepAliveTimeoutBuffer: 0 },
  { agentKeepAliveTimeoutBuffer: 2_000 },
  { agentKeepAliveTimeoutBuffer: -1 },
  { agentKeepAliveTimeoutBuffer: 'x' },
  { foreign: 'option' },
]

for (const options of constructions) {
  const shown = options && JSON.stringify(options, (_, value) => (typeof value === 'number' ? String(value) : value))
  test(`new Agent(${shown}) is the runtime's`, async () => {
    assert.deepStrictEqual(
      outcome(() => new Agent(options)),
      outcome(() => new http.Agent(options)),
    )
  })
}

test('options are copied, and the copy has a null prototype and no path', async (scope) => {
  const options = { keepAlive: true, path: '/given' }
  const agent = scope.agent(options)
  assert.notStrictEqual(agent.options, options)
  assert.strictEqual(Object.getPrototypeOf(agent.options), Object.getPrototypeOf(scope.runtimeAgent(options).options))
  assert.strictEqual(agent.options.path, null)
  assert.strictEqual(options.path, '/given')
})

test('an agent works without new', async (scope) => {
  const agent = scope.adopt(Agent({ keepAlive: true, maxSockets: 3 }))
  assert.ok(agent instanceof Agent)
  assert.strictEqual(agent.maxSockets, 3)
  const peer = await scope.peer(OK)
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
})

test('an agent is an http.Agent and an EventEmitter, by class and by util.inherits', async (scope) => {
  const agent = scope.agent()
  assert.ok(agent instanceof http.Agent)
  assert.ok(agent instanceof require('node:events'))
  class Sub extends Agent {}
  assert.ok(scope.adopt(new Sub(KEEP_ALIVE)) instanceof http.Agent)
  function Old(options) {
    Agent.call(this, options)
    this.extra = 1
  }
  require('node:util').inherits(Old, Agent)
  let old
  try {
    old = new Old({ keepAlive: true, maxSockets: 2 })
  } catch (error) {
    // Runtimes whose own Agent is a class refuse this for their own as well.
    assert.throws(() => http.Agent.call({}, {}), error.constructor)
    return
  }
  scope.adopt(old)
  assert.strictEqual(old.maxSockets, 2)
  const peer = await scope.peer(OK)
  assert.strictEqual((await send({ port: peer.port, agent: old })).body, 'ok')
})

test("the methods are the runtime's, with the same arity", async () => {
  const methods = [
    'addRequest',
    'createConnection',
    'createSocket',
    'removeSocket',
    'keepSocketAlive',
    'reuseSocket',
    'getName',
    'destroy',
  ]
  for (const method of methods) {
    assert.strictEqual(typeof Agent.prototype[method], 'function', method)
    assert.strictEqual(Agent.prototype[method].length, http.Agent.prototype[method].length, method)
  }
  assert.strictEqual(Agent.name, 'Agent')
})

test('the default maxSockets is a static, as on the runtime', async () => {
  assert.strictEqual(Agent.defaultMaxSockets, http.Agent.defaultMaxSockets)
})

const names = [
  undefined,
  {},
  { host: 'h' },
  { host: 'h', port: 80 },
  { host: 'h', port: 80, localAddress: '127.0.0.1' },
  { host: 'h', port: 80, family: 4 },
  { host: 'h', port: 80, family: 6 },
  { host: 'h', port: 80, family: 0 },
  { host: 'h', port: 80, socketPath: '/tmp/s' },
  { socketPath: '/tmp/s' },
  { host: '::1', port: 1, localAddress: '::1', family: 6 },
  { hostname: 'ignored', port: 5 },
  { port: 0 },
  { host: 'h', port: 80, localPort: 9 },
  { host: 'h', noDelay: false, timeout: 4 },
]
for (const options of names) {
  test(`getName(${JSON.stringify(options)}) is the runtime's`, async (scope) => {
    const [ours, theirs] = [scope.agent(), scope.runtimeAgent()]
    const call = (agent) => {
      try {
        return options === undefined ? agent.getName() : agent.getName(options)
      } catch (error) {
        return error.constructor.name
      }
    }
    assert.strictEqual(call(ours), call(theirs))
  })
}

test('a port given as a text is the origin that it is for the runtime', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  // The last two mean the same to the runtime's sockets, which know them by another name.
  for (const port of [peer.port, `${peer.port}`, `0${peer.port}`, ` ${peer.port}`]) await send({ port, agent })
  const theirs = scope.runtimeAgent()
  const named = [peer.port, `0${peer.port}`, ` ${peer.port}`].map((port) => theirs.getName({ host: '127.0.0.1', port }))
  assert.deepStrictEqual(Object.keys(agent.freeSockets).sort(), named.sort())
  assert.strictEqual(peer.accepted, 3)
})

test('an overridden getName decides what shares connections', async (scope) => {
  class Lumped extends Agent {
    getName() {
      return 'all the same'
    }
  }
  const peer = await scope.peer(OK)
  const agent = scope.adopt(new Lumped({ keepAlive: true, maxSockets: 1 }))
  await Promise.all([send({ port: peer.port, agent }), send({ port: peer.port, agent, host: 'localhost', family: 4 })])
  assert.strictEqual(peer.accepted, 1)
  assert.deepStrictEqual(Object.keys(agent.freeSockets), ['all the same'])
})

test('the tables tell the truth at every moment of a request', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const name = agent.getName({ host: '127.0.0.1', port: peer.port })
  const tables = () => ({
    sockets: tally(agent.sockets),
    free: tally(agent.freeSockets),
    queued: tally(agent.requests),
    total: agent.totalSocketCount,
  })
  assert.deepStrictEqual(tables(), { sockets: {}, free: {}, queued: {}, total: 0 })

  const first = send({ port: peer.port, agent })
  assert.deepStrictEqual(tables(), { sockets: { [name]: 1 }, free: {}, queued: {}, total: 1 })
  const second = send({ port: peer.port, agent })
  assert.deepStrictEqual(tables(), { sockets: { [name]: 1 }, free: {}, queued: { [name]: 1 }, total: 1 })

  await until(() => hold.held.length === 1)
  assert.deepStrictEqual(tables(), { sockets: { [name]: 1 }, free: {}, queued: { [name]: 1 }, total: 1 })
  hold.held[0].answer()
  await first
  await until(() => hold.held.length === 2)
  assert.deepStrictEqual(tables(), { sockets: { [name]: 1 }, free: {}, queued: {}, total: 1 })
  hold.held[1].answer()
  await second
  await turns(2)
  assert.deepStrictEqual(tables(), { sockets: {}, free: { [name]: 1 }, queued: {}, total: 1 })
  for (const table of [agent.sockets, agent.freeSockets, agent.requests])
    assert.strictEqual(Object.getPrototypeOf(table), null)

  agent.destroy()
  await peer.nobodyConnected(30_000)
  await until(() => agent.totalSocketCount === 0)
  assert.deepStrictEqual(tables(), { sockets: {}, free: {}, queued: {}, total: 0 })
})

function tally(table) {
  const counts = {}
  for (const key of Object.keys(table)) counts[key] = table[key].length
  return counts
}

test('what the tables hold are the sockets and requests themselves', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const name = agent.getName({ host: '127.0.0.1', port: peer.port })
  const one = http.get({ host: '127.0.0.1', port: peer.port, agent })
  const two = http.get({ host: '127.0.0.1', port: peer.port, agent })
  const answers = [read(one), read(two)]
  assert.strictEqual(agent.requests[name][0], two)
  await until(() => hold.held.length === 1)
  assert.strictEqual(agent.sockets[name][0], one.socket)
  assert.ok(agent.sockets[name][0] instanceof net.Socket)
  hold.held[0].answer()
  await until(() => hold.held.length === 2)
  assert.strictEqual(two.socket, one.socket)
  hold.held[1].answer()
  await Promise.all(answers)
  await turns(2)
  assert.strictEqual(agent.freeSockets[name][0], one.socket)
})

test('maxSockets limits an origin, and waiters are served first come, first served', async (scope) => {
  const order = []
  const peer = await scope.peer((request, connection) => {
    order.push(request.target)
    setImmediate(() => connection.write(reply('ok')))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  await parallel(30, (i) => ({ port: peer.port, path: `/${i}`, agent }))
  assert.strictEqual(peer.accepted, 3)
  const starts = order.map((target) => Number(target.slice(1)))
  // Three are in flight at a time, so a request may overtake only its neighbours.
  starts.forEach((value, index) => assert.ok(Math.abs(value - index) < 3, `${starts}`))
})

test('maxSockets counts each origin for itself', async (scope) => {
  const holds = [holding(), holding()]
  const peers = [await scope.peer(holds[0]), await scope.peer(holds[1])]
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  const answers = [0, 1, 0, 1, 0, 1].map((which) => send({ port: peers[which].port, agent }))
  await until(() => holds.every((hold) => hold.held.length === 2))
  assert.strictEqual(agent.totalSocketCount, 4)
  const answered = [0, 0]
  await Promise.all([
    ...answers,
    (async () => {
      while (answered[0] + answered[1] < 6) {
        for (const which of [0, 1])
          while (answered[which] < holds[which].held.length) holds[which].held[answered[which]++].answer()
        await turns()
      }
    })(),
  ])
  assert.deepStrictEqual(
    peers.map((peer) => peer.accepted),
    [2, 2],
  )
})

test('maxTotalSockets limits the agent over all origins', async (scope) => {
  const holds = [holding(), holding(), holding()]
  const peers = []
  for (const hold of holds) peers.push(await scope.peer(hold))
  const agent = scope.agent({ keepAlive: true, maxTotalSockets: 2 })
  const answers = [0, 1, 2].map((which) => send({ port: peers[which].port, agent }))
  await until(() => holds[0].held.length === 1 && holds[1].held.length === 1)
  await turns(10)
  assert.strictEqual(agent.totalSocketCount, 2)
  assert.strictEqual(peers[2].accepted, 0)
  holds[0].held[0].answer(reply('ok', ['Connection: close']))
  holds[1].held[0].answer()
  await until(() => holds[2].held.length === 1)
  assert.ok(agent.totalSocketCount <= 2)
  holds[2].held[0].answer()
  await Promise.all(answers)
})

test('maxFreeSockets: the connections beyond it are closed when they fall idle', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, maxFreeSockets: 2 })
  const answers = Array.from({ length: 5 }, () => send({ port: peer.port, agent }))
  await until(() => hold.held.length === 5)
  for (const one of hold.held) one.answer()
  await Promise.all(answers)
  await until(() => peer.open.size === 2)
  const name = agent.getName({ host: '127.0.0.1', port: peer.port })
  await until(() => agent.totalSocketCount === 2)
  assert.strictEqual(agent.freeSockets[name].length, 2)
})

test('limits may be raised later', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const answers = [send({ port: peer.port, agent })]
  await until(() => hold.held.length === 1)
  agent.maxSockets = 3
  answers.push(send({ port: peer.port, agent }), send({ port: peer.port, agent }), send({ port: peer.port, agent }))
  await until(() => hold.held.length === 3)
  await turns(5)
  assert.strictEqual(peer.accepted, 3)
  for (let i = 0; i < 4; i++) {
    await until(() => hold.held.length > i)
    hold.held[i].answer()
  }
  await Promise.all(answers)
  assert.strictEqual(peer.accepted, 3)
})

test('limits may be lowered later', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, maxSockets: 3, maxFreeSockets: 3 })
  const answers = Array.from({ length: 3 }, () => send({ port: peer.port, agent }))
  await until(() => hold.held.length === 3)
  agent.maxFreeSockets = 1
  for (const one of hold.held) one.answer()
  await Promise.all(answers)
  await until(() => peer.open.size === 1)
  agent.maxSockets = 1
  const more = [send({ port: peer.port, agent }), send({ port: peer.port, agent })]
  await until(() => hold.held.length === 4)
  await turns(5)
  assert.strictEqual(hold.held.length, 4)
  hold.held[3].answer()
  await until(() => hold.held.length === 5)
  hold.held[4].answer()
  await Promise.all(more)
  assert.strictEqual(peer.accepted, 3)
})

for (const [scheduling, expected] of [
  ['lifo', 'last'],
  ['fifo', 'first'],
]) {
  test(`${scheduling}: the connection that fell idle ${expected} is used next`, async (scope) => {
    const hold = holding()
    const peer = await scope.peer(hold)
    const agent = scope.agent({ keepAlive: true, scheduling })
    const answers = [0, 1, 2].map((i) => send({ port: peer.port, path: `/${i}`, agent }))
    await until(() => hold.held.length === 3)
    const byPath = Object.fromEntries(hold.held.map((one) => [one.request.target, one]))
    for (const i of [1, 0, 2]) {
      byPath[`/${i}`].answer()
      await answers[i]
      await turns(2)
    }
    const next = send({ port: peer.port, path: '/next', agent })
    await until(() => hold.held.length === 4)
    assert.strictEqual(hold.held[3].connection, byPath[scheduling === 'lifo' ? '/2' : '/1'].connection)
    hold.held[3].answer()
    await next
    assert.strictEqual(peer.accepted, 3)
  })
}

test('an agent without keepAlive hands a freed connection to a waiter, and else closes it', async (scope) => {
  const peer = await scope.peer(OK)
  const theirs = await scope.peer(OK)
  await parallel(3, () => ({ port: peer.port, agent: scope.agent({ maxSockets: 1 }) }))
  assert.strictEqual(peer.accepted, 3)
  for (const [agent, server] of [
    [scope.runtimeAgent({ maxSockets: 1 }), theirs],
    [scope.agent({ maxSockets: 1 }), peer],
  ]) {
    const before = server.accepted
    await parallel(4, () => ({ port: server.port, agent }))
    await server.nobodyConnected(30_000)
    server.used = server.accepted - before
  }
  assert.strictEqual(peer.used, theirs.used)
})

test("'free' on the agent names socket and options of each connection that falls idle", async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const seen = []
  agent.on('free', (socket, options) => seen.push([socket, options.host, options.port]))
  const one = await send({ port: peer.port, agent })
  await turns(2)
  const two = await send({ port: peer.port, agent })
  await turns(2)
  assert.strictEqual(seen.length, 2)
  assert.strictEqual(seen[0][0], one.socket)
  assert.strictEqual(seen[1][0], two.socket)
  assert.deepStrictEqual(seen[0].slice(1), ['127.0.0.1', peer.port])
})

test("a socket tells 'free' when it falls idle and 'agentRemove' is free to be listened to", async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const events = []
  const request = http.get({ host: '127.0.0.1', port: peer.port, agent })
  request.on('socket', (socket) => {
    for (const event of ['free', 'agentRemove', 'close']) socket.on(event, () => events.push(event))
  })
  await read(request)
  await turns(2)
  assert.deepStrictEqual(events, ['free'])
  agent.destroy()
  await until(() => events.includes('close'))
})

test('reusedSocket is false first and true on a reused connection', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const reused = []
  for (let i = 0; i < 3; i++) reused.push((await send({ port: peer.port, agent })).reused)
  assert.deepStrictEqual(reused, [false, true, true])
})

test('req.socket is one object for all requests of a connection', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const one = await send({ port: peer.port, agent })
  const two = await send({ port: peer.port, agent })
  assert.strictEqual(one.socket, two.socket)
  assert.ok(one.socket instanceof net.Socket)
})

test('req.socket tells its addresses', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const seen = await new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port: peer.port, agent }, (response) => {
        const { remoteAddress, remotePort, remoteFamily, localAddress, localPort, connecting, destroyed, readyState } =
          response.socket
        const address = response.socket.address()
        resolve({
          remoteAddress,
          remotePort,
          remoteFamily,
          localAddress,
          localPort,
          connecting,
          destroyed,
          readyState,
          address,
        })
        response.resume()
      })
      .on('error', reject)
  })
  const [connection] = peer.connections
  assert.strictEqual(seen.remoteAddress, '127.0.0.1')
  assert.strictEqual(seen.remotePort, peer.port)
  assert.strictEqual(seen.remoteFamily, 'IPv4')
  assert.strictEqual(seen.localAddress, '127.0.0.1')
  assert.strictEqual(seen.localPort, connection.socket.remotePort)
  assert.strictEqual(seen.connecting, false)
  assert.strictEqual(seen.destroyed, false)
  assert.strictEqual(seen.readyState, 'open')
  assert.deepStrictEqual(seen.address, { address: '127.0.0.1', family: 'IPv4', port: seen.localPort })
})

test("the agent's timeout closes nothing by itself while a request is served, and tells 'timeout'", async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent({ keepAlive: true, timeout: 50 })
  const request = http.get({ host: '127.0.0.1', port: peer.port, agent })
  const answer = read(request)
  await once(request, 'timeout')
  await until(() => hold.held.length === 1)
  hold.held[0].answer()
  assert.strictEqual((await answer).body, 'ok')
})

test("the agent's timeout closes an idle connection", async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, timeout: 80 })
  await send({ port: peer.port, agent })
  await peer.nobodyConnected(30_000)
  await until(() => agent.totalSocketCount === 0)
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
})

test("an idle connection that times out tells 'timeout', then 'close'", async (scope) => {
  const peer = await scope.peer(OK)
  await withMoreTime(async (ms) => {
    const agent = scope.agent({ keepAlive: true, timeout: ms })
    await send({ port: peer.port, agent })
    const [socket] = Object.values(agent.freeSockets)[0]
    const told = []
    for (const event of ['timeout', 'close']) socket.on(event, () => told.push(event))
    await once(socket, 'close')
    assert.deepStrictEqual(told, ['timeout', 'close'])
  })
})

test('a Host header that is no text is refused as by the runtime', async (scope) => {
  const told = [scope.agent(KEEP_ALIVE), new http.Agent()].map((agent) => {
    try {
      http
        .request({ host: '127.0.0.1', port: 80, headers: { host: [] }, agent })
        .on('error', () => {})
        .destroy()
      return 'nothing'
    } catch (error) {
      return `${error.code} ${error.message}`
    }
  })
  assert.strictEqual(told[0], told[1])
})

test("a request's own timeout does not stay with the connection", async (scope) => {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/fast') return connection.write(reply('ok'))
    setTimeout(() => connection.write(reply('ok')), 150)
  })
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, path: '/fast', agent, timeout: 60 })
  await turns(2)
  const request = http.get({ host: '127.0.0.1', port: peer.port, path: '/slow', agent })
  let timeouts = 0
  request.on('timeout', () => timeouts++)
  assert.strictEqual((await read(request)).reused, true)
  assert.strictEqual(timeouts, 0)
})

test('req.setTimeout fires once for silence and not after the end', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent(KEEP_ALIVE)
  const request = http.get({ host: '127.0.0.1', port: peer.port, agent })
  let timeouts = 0
  request.setTimeout(40, () => timeouts++)
  const answer = read(request)
  await until(() => timeouts === 1 && hold.held.length === 1)
  hold.held[0].answer()
  await answer
  assert.strictEqual(timeouts, 1)
  assert.strictEqual(request.socket.timeout || 0, 0)
})

test('destroy() closes idle and busy connections, and the agent works on', async (scope) => {
  const hold = holding()
  const peer = await scope.peer(hold)
  const agent = scope.agent(KEEP_ALIVE)
  const idle = send({ port: peer.port, agent })
  await until(() => hold.held.length === 1)
  const busy = failure(send({ port: peer.port, agent }))
  await until(() => hold.held.length === 2)
  hold.held[0].answer()
  await idle
  await turns(2)
  agent.destroy()
  const error = await busy
  assert.strictEqual(error.code, 'ECONNRESET')
  assert.strictEqual(error.message, 'socket hang up')
  await peer.nobodyConnected(30_000)
  await until(() => agent.totalSocketCount === 0)
  const again = send({ port: peer.port, agent })
  await until(() => hold.held.length === 3)
  hold.held[2].answer()
  assert.strictEqual((await again).status, 200)
})

test('destroy() of an agent that was never used, and twice, does nothing', async (scope) => {
  const agent = scope.agent(KEEP_ALIVE)
  agent.destroy()
  agent.destroy()
})

test('an idle connection that the server closes leaves the tables', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const { socket } = await send({ port: peer.port, agent })
  await turns(2)
  assert.strictEqual(agent.totalSocketCount, 1)
  const closed = new Promise((resolve) => socket.on('close', resolve))
  peer.connections[0].end()
  await closed
  assert.strictEqual(agent.totalSocketCount, 0)
  assert.deepStrictEqual(Object.keys(agent.freeSockets), [])
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
  assert.strictEqual(peer.accepted, 2)
})

test('a free socket that the user destroys is not used again', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  const { socket } = await send({ port: peer.port, agent })
  await turns(2)
  socket.destroy()
  await until(() => peer.open.size === 0)
  assert.strictEqual(socket.destroyed, true)
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
})

test("a Keep-Alive hint of the server limits how long the connection idles, with the agent's buffer", {
  ours: 'the buffer came with newer versions',
}, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('ok', ['Keep-Alive: timeout=1'])))
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent })
  // One second less the default buffer of one second: it may not be used again at all.
  await turns(2)
  assert.strictEqual((await send({ port: peer.port, agent })).reused, false)
})

test('a connection is kept for another request within the Keep-Alive hint', async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('ok', ['Keep-Alive: timeout=20, max=100'])))
  const agent = scope.agent(KEEP_ALIVE)
  const answers = []
  for (let i = 0; i < 3; i++) answers.push((await send({ port: peer.port, agent })).reused)
  assert.deepStrictEqual(answers, [false, true, true])
})

test('socketPath: requests over a Unix domain socket, reused', {
  skip: process.platform === 'win32' && 'no Unix domain sockets',
}, async (scope) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kw-'))
  const socketPath = path.join(directory, 's')
  const peer = await scope.peer(OK, { path: socketPath })
  scope.defer(() => fs.rmSync(directory, { recursive: true, force: true }))
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 3; i++) {
    const { body, reused } = await send({ socketPath, path: `/${i}`, agent })
    assert.deepStrictEqual([body, reused], ['ok', i > 0])
  }
  assert.strictEqual(peer.accepted, 1)
})

test('a socketPath that does not exist fails with ENOENT', {
  skip: process.platform === 'win32' && 'no Unix domain sockets',
}, async (scope) => {
  const options = { socketPath: '/nonexistent/keepwire.sock', path: '/' }
  const theirs = await failure(send({ ...options, agent: scope.runtimeAgent(KEEP_ALIVE) }))
  const ours = await failure(send({ ...options, agent: scope.agent(KEEP_ALIVE) }))
  for (const field of ['code', 'syscall', 'address', 'message', 'errno'])
    assert.strictEqual(ours[field], theirs[field], field)
})

test('localAddress binds the connection and is a key of its own', {
  skip: process.platform !== 'linux' && 'only Linux has all of 127/8 on loopback',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  await send({ port: peer.port, agent, localAddress: '127.0.0.2' })
  await send({ port: peer.port, agent })
  await send({ port: peer.port, agent, localAddress: '127.0.0.2' })
  assert.deepStrictEqual(
    peer.connections.map((one) => one.socket.remoteAddress),
    ['127.0.0.2', '127.0.0.1'],
  )
})

test('localPort binds the connection', { skip: isBun && 'the runtime ignores localPort' }, async (scope) => {
  const probe = await scope.peer(OK)
  const localPort = probe.port
  await probe.close()
  const peer = await scope.peer(OK)
  await send({ port: peer.port, agent: scope.agent(KEEP_ALIVE), localPort })
  assert.strictEqual(peer.connections[0].socket.remotePort, localPort)
})

test('family 4 and 6 choose the address of a name, and are keys of their own', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  await send({ host: 'localhost', port: peer.port, agent, family: 4 })
  assert.strictEqual(peer.connections[0].socket.remoteAddress.replace('::ffff:', ''), '127.0.0.1')
  assert.deepStrictEqual(Object.keys(agent.freeSockets), [`localhost:${peer.port}::4`])
})

test('a name with two addresses of which one refuses is reached by the other', async (scope) => {
  const peer = await scope.peer(OK)
  const { body } = await send({ host: 'localhost', port: peer.port, agent: scope.agent(KEEP_ALIVE) })
  assert.strictEqual(body, 'ok')
})

test('setNoDelay and setSocketKeepAlive may be called at every moment', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent(KEEP_ALIVE)
  for (let i = 0; i < 2; i++) {
    const request = http.request({ host: '127.0.0.1', port: peer.port, agent })
    request.setNoDelay(true)
    request.setSocketKeepAlive(true, 1_000)
    request.on('socket', (socket) => {
      assert.strictEqual(socket.setNoDelay(false), socket)
      assert.strictEqual(socket.setKeepAlive(true, 500), socket)
      assert.strictEqual(socket.ref(), socket)
    })
    request.end()
    await read(request)
    request.setNoDelay(false)
  }
  assert.strictEqual(peer.accepted, 1)
})

test('an agent as a global one: keepAlive, lifo, 5 s', { ours: 'has its own globalAgent' }, async () => {
  const { globalAgent, Agent: Exported } = require('..').http
  assert.ok(globalAgent instanceof Exported)
  // Node 18 keeps no connection by default.
  const keeps = !isNode || major > 18
  assert.strictEqual(globalAgent.keepAlive, keeps)
  assert.strictEqual(globalAgent.scheduling, 'lifo')
  assert.strictEqual(globalAgent.options.timeout, keeps ? 5_000 : undefined)
})

test('the exported Agent is the same from every door', { ours: 'is not exported by keepwire' }, async () => {
  const keepwire = require('..')
  assert.strictEqual(keepwire.Agent, keepwire.http.Agent)
})

test('http.globalAgent may be replaced by ours', {
  skip: (isBun || isDeno) && 'the property is not replaceable here',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const original = http.globalAgent
  const agent = scope.agent(KEEP_ALIVE)
  http.globalAgent = agent
  scope.defer(() => (http.globalAgent = original))
  for (let i = 0; i < 3; i++) await send({ port: peer.port })
  assert.strictEqual(peer.accepted, 1)
  assert.strictEqual(agent.totalSocketCount, 1)
})

test("a request with protocol 'https:' is refused, as by the runtime's own agent", async (scope) => {
  const refusal = (agent) => {
    try {
      http.get({ protocol: 'https:', host: '127.0.0.1', agent }).on('error', () => {})
    } catch (error) {
      return [error.code, error.message]
    }
  }
  assert.deepStrictEqual(refusal(scope.agent()), refusal(scope.runtimeAgent()))
})

test('two agents share nothing', async (scope) => {
  const peer = await scope.peer(OK)
  const agents = [scope.agent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]
  for (const agent of [...agents, ...agents]) await send({ port: peer.port, agent })
  assert.strictEqual(peer.accepted, 2)
  agents[0].destroy()
  await until(() => peer.open.size === 1)
  assert.strictEqual((await send({ port: peer.port, agent: agents[1] })).reused, true)
})

test('20 origins at once have a connection each', async (scope) => {
  const peers = []
  for (let i = 0; i < 20; i++) peers.push(await scope.peer(OK))
  const agent = scope.agent(KEEP_ALIVE)
  for (let round = 0; round < 3; round++) {
    await parallel(20, (i) => ({ port: peers[i].port, agent }))
    await turns(2)
  }
  assert.deepStrictEqual(
    peers.map((peer) => peer.accepted),
    peers.map(() => 1),
  )
  assert.strictEqual(agent.totalSocketCount, 20)
})

test('a hostname in upper case and in lower case are two names, as on the runtime', {
  skip: !baseline && isDeno && 'resolves on its own',
}, async (scope) => {
  const peer = await scope.peer(OK)
  const counts = []
  for (const agent of [scope.runtimeAgent(KEEP_ALIVE), scope.agent(KEEP_ALIVE)]) {
    const before = peer.accepted
    await send({ host: 'localhost', port: peer.port, agent })
    await send({ host: 'LOCALHOST', port: peer.port, agent })
    counts.push(peer.accepted - before)
  }
  assert.strictEqual(counts[1], counts[0])
})
