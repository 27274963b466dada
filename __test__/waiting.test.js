'use strict'

// Requests that wait for a connection: what each of them costs does not depend on how many others wait.

const assert = require('node:assert')
const v8 = require('node:v8')

const { runScript } = require('./support/child')
const { read, request, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline, isNode } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { turns, until } = require('./support/wait')

const { fetch } = baseline ? {} : require('..')

const OURS = { ours: 'settles requests that wait and are aborted when their turn comes' }

/** So many that looking for one of them among all others would be seen. */
const COUNT = 3000

/** The same order each time. */
function shuffled(list) {
  let state = 12345
  for (let at = list.length - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    const other = state % (at + 1)
    ;[list[at], list[other]] = [list[other], list[at]]
  }
  return list
}

testBoth('requests that are aborted while they wait leave those that stay in order', OURS, async (scope) => {
  let open
  const peer = await scope.peer((req, connection) => {
    if (req.target !== '/first') connection.write(reply(req.target))
    else open = () => connection.write(reply('first'))
  })
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const first = send({ port: peer.port, agent, path: '/first' })
  await until(() => open)
  const waiting = Array.from({ length: 200 }, (_, at) => {
    const req = request({ port: peer.port, agent, path: `/${at}` })
    req.on('error', () => {})
    return req
  })
  const [name] = Object.keys(agent.requests)
  const shown = agent.requests[name]
  assert.deepStrictEqual(shown, waiting)
  const gone = new Set(shuffled([...waiting]).slice(0, 150))
  for (const req of gone) req.destroy()
  const stay = waiting.filter((req) => !gone.has(req))
  assert.deepStrictEqual(agent.requests[name], stay)
  assert.strictEqual(agent.requests[name], shown)
  const served = []
  for (const req of stay) {
    req.on('response', (res) => {
      served.push(req.path)
      res.resume()
    })
    req.end()
  }
  open()
  await first
  await until(() => served.length === stay.length)
  await turns(2)
  assert.deepStrictEqual(
    served,
    stay.map(({ path }) => path),
  )
  assert.deepStrictEqual(Object.keys(agent.requests), [])
})

/**
 * How many entries of lists are looked at or moved while `action` runs: a machine's speed says nothing of it.
 * @param {() => void} action
 */
function entriesTouched(action) {
  const names = ['filter', 'findIndex', 'indexOf', 'shift', 'splice']
  let touched = 0
  for (const name of names) {
    const own = Array.prototype[name]
    Array.prototype[name] = Object.assign(
      function counting(...values) {
        touched += this.length
        return own.apply(this, values)
      },
      { own },
    )
  }
  try {
    action()
  } finally {
    for (const name of names) Array.prototype[name] = Array.prototype[name].own
  }
  return touched
}

for (const [what, make] of [
  [
    'request',
    (options) => {
      const req = request(options)
      req.on('error', () => {})
      return () => req.destroy()
    },
  ],
  [
    'fetch',
    ({ agent, port }) => {
      const controller = new AbortController()
      fetch(`http://127.0.0.1:${port}/`, { agent, signal: controller.signal }).catch(() => {})
      return () => controller.abort()
    },
  ],
]) {
  test(`the abort of a ${what} that waits looks at no other`, OURS, async (scope) => {
    const peer = await scope.peer(() => {})
    const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
    const busy = request({ port: peer.port, agent })
    busy.on('error', () => {})
    busy.end()
    await until(() => peer.requests.length === 1)
    const waiting = Array.from({ length: COUNT }, () => make({ port: peer.port, agent }))
    await turns(2)
    const touched = entriesTouched(() => {
      for (const abort of shuffled(waiting)) abort()
    })
    assert.ok(touched < 50 * COUNT, `${touched} entries for ${COUNT} aborts`)
    await turns(2)
    assert.deepStrictEqual(Object.keys(agent.requests), [])
    busy.destroy()
  })
}

/** Tells whether an object's properties are where its shape says, and not in a table of its own. */
function fastness() {
  v8.setFlagsFromString('--allow-natives-syntax')
  return new Function('object', 'return %HasFastProperties(object)')
}

test('a request is as quick to look at when it has waited', {
  skip: !isNode && 'asks V8 by way of Node',
}, async (scope) => {
  const isFast = fastness()
  const peer = await scope.peer((req, connection) => connection.write(reply(req.target)))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const made = ['/1', '/2', '/3'].map((path) => request({ port: peer.port, agent, path }))
  const answers = made.map(read)
  for (const req of made) req.end()
  assert.deepStrictEqual(
    (await Promise.all(answers)).map(({ body }) => String(body)),
    ['/1', '/2', '/3'],
  )
  assert.deepStrictEqual(made.map(isFast), [true, true, true])
})

test('requests that have waited are freed with the young generation, as others are', {
  ours: 'is about our queues',
  skip: !isNode && 'only V8 as Node has it can be asked for such a collection',
}, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('hello')))
  const options = { flags: ['--expose-gc'] }
  const { code, stderr, lines } = await runScript('young-garbage', [peer.port, 20], options)
  assert.strictEqual(code, 0, stderr)
  // A request and its response are some 3,000 bytes.
  for (const bytes of lines[0].freed) assert.ok(bytes < 1_200, `${lines[0].freed} bytes of each were left`)
})
