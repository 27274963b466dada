'use strict'

// Our own requests that wait for a connection: they stay fast, and whatever is done to them meanwhile ends as it does with the
// runtime's own request and agent.

const assert = require('node:assert')
const http = require('node:http')

const keepwire = require('../..')
const { isFast } = require('../support/fast-recorder')
const { reply } = require('../support/peer')
const { baseline, isNode } = require('../support/runtime')
const { test } = require('../support/suite')
const { turns, until } = require('../support/wait')

const OURS = { skip: baseline ? 'compares with the runtime by itself' : false }
/** The others' own agents tell some of this in another order. */
const NODES = { skip: baseline || !isNode ? 'compares with Node' : false }

/** Two requests over one connection: the first is held until the second waits, and `act` has been done to that one. */
async function play(scope, request, agent, { act = () => {}, body, options = {}, head = '' }) {
  let open
  let isHeld = true
  const peer = await scope.peer((req, connection) => {
    if (!isHeld) return connection.write(reply(`${req.method} ${req.body}`))
    open = () => connection[head === '' ? 'write' : 'end'](reply('first', [head].filter(Boolean)))
  })
  const target = { host: '127.0.0.1', port: peer.port, agent }
  const log = []
  const first = request({ ...target, path: '/first' }, (res) => res.resume())
  first.on('error', () => {}).on('close', () => log.push('first closed'))
  first.end()
  await until(() => open)
  const second = request({ ...target, path: '/second', ...options })
  for (const name of ['finish', 'timeout', 'abort', 'close']) {
    // Listeners of 'finish' have a request promoted.
    if (name !== 'finish') second.on(name, () => log.push(name))
  }
  second.on('error', ({ code, message }) => log.push(`error ${code} ${message}`))
  second.on('response', (res) => {
    log.push(`response ${res.statusCode}`)
    let text = ''
    res.on('data', (chunk) => (text += chunk))
    res.on('end', () => log.push(`end ${text}`))
    res.on('close', () => log.push('response closed'))
  })
  second.end(body)
  await turns(3)
  await act(second, agent, log)
  const wasFast = isFast(second)
  isHeld = false
  open()
  await until(() => log.includes('close') && log.includes('first closed'))
  await turns(3)
  const { aborted, destroyed, reusedSocket } = second
  const order = log.filter((line) => line !== 'first closed')
  const waiting = Object.values(agent.requests).flat().length
  return { wasFast, seen: { order, aborted, destroyed, reusedSocket, waiting, opened: peer.accepted } }
}

for (const [what, scenario] of Object.entries({
  'is served': { isFast: true },
  'is served with a body': { isFast: true, body: 'text', options: { method: 'POST' } },
  'is served by a connection that is opened in place of one that closed': { isFast: true, head: 'Connection: close' },
  'is looked at': {
    isFast: true,
    act({ destroyed, headersSent, method, path, reusedSocket, socket, writableEnded }, _, log) {
      log.push({ destroyed, headersSent, method, path, reusedSocket, socket, writableEnded })
    },
  },
  'is destroyed': { act: (req) => void req.destroy() },
  'is destroyed with an error': { act: (req) => void req.destroy(Object.assign(new Error('mine'), { code: 'MINE' })) },
  'is aborted': { act: (req) => void req.abort() },
  'is destroyed by what its agent shows': { act: (_, agent) => void Object.values(agent.requests)[0][0].destroy() },
  'gets a timeout that does not come': { act: (req) => void req.setTimeout(60_000) },
  'has listeners of its socket': {
    isFast: true,
    act(req, _, log) {
      req.on('socket', (socket) => log.push(`socket ${socket.destroyed} ${req.reusedSocket}`))
      req.on('finish', () => log.push('finish'))
    },
  },
  'is destroyed as its response comes': {
    isFast: true,
    act: (req) => void req.prependListener('response', () => req.destroy()),
  },
})) {
  test(`a request that waits and ${what} ends as the runtime's`, NODES, async (scope) => {
    const options = { keepAlive: true, maxSockets: 1 }
    const ours = await play(scope, keepwire.http.request, scope.agent(options), scenario)
    const theirs = await play(scope, http.request, scope.runtimeAgent(options), scenario)
    assert.deepStrictEqual(ours.seen, theirs.seen)
    assert.strictEqual(ours.wasFast, scenario.isFast ?? false)
  })
}

test('requests that wait are served in order, over one connection, and some are given up', OURS, async (scope) => {
  const peer = await scope.peer((req, connection) => connection.write(reply(req.target)))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const served = []
  const ended = Array.from({ length: 50 }, (_, at) => {
    return new Promise((resolve) => {
      const options = { host: '127.0.0.1', port: peer.port, agent, path: `/${at}` }
      const req = keepwire.http.request(options, (res) => {
        served.push(req.path)
        res.resume()
      })
      req.on('error', () => {}).on('close', resolve)
      req.end()
      if (at % 5 === 4) setImmediate(() => req.destroy())
    })
  })
  await Promise.all(ended)
  const kept = Array.from({ length: 50 }, (_, at) => at).filter((at) => at % 5 !== 4)
  const inOrder = served.filter((path) => kept.includes(Number(path.slice(1))))
  assert.deepStrictEqual(
    inOrder,
    kept.map((at) => `/${at}`),
  )
  assert.ok(peer.accepted <= 2, `${peer.accepted} connections`)
})

test('a request that waits hears of its timeout', OURS, async (scope) => {
  const peer = await scope.peer(() => {})
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const target = { host: '127.0.0.1', port: peer.port, agent }
  const first = keepwire.http.get(target).on('error', () => {})
  const second = keepwire.http.get(target).on('error', () => {})
  await turns(3)
  assert.ok(isFast(second))
  await new Promise((resolve) => second.setTimeout(1, resolve))
  const closed = new Promise((resolve) => second.on('close', resolve))
  second.destroy()
  await closed
  first.destroy()
})

test('a request that waits longer than queueTimeout fails', OURS, async (scope) => {
  const peer = await scope.peer(() => {})
  const agent = scope.agent({ keepAlive: true, maxSockets: 1, queueTimeout: 50 })
  const target = { host: '127.0.0.1', port: peer.port, agent }
  const first = keepwire.http.get(target)
  first.on('error', () => {})
  const code = await new Promise((resolve) => keepwire.http.get(target).on('error', (error) => resolve(error.code)))
  assert.strictEqual(code, 'ERR_KEEPWIRE_QUEUE_TIMEOUT')
  first.destroy()
})
