'use strict'

// totals() and connections(): sums of the process that outlive agents, and the connections that there are.

const assert = require('node:assert')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

const { runScript } = require('../support/child')
const { LOGIN, targetThrough } = require('../support/behind-proxy')
const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { scriptedProxy } = require('../support/proxy')
const { baseline } = require('../support/runtime')
const { test, testBoth } = require('../support/suite')
const { turns, until } = require('../support/wait')

const { Agent, connections, totals } = baseline ? {} : require('../..')

const OURS = { ours: 'tells nothing' }
const OK = (_, connection) => connection.write(reply('ok'))

/** A file with the authority of a scope's servers. */
function trusted(scope) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'ca.pem')
  fs.writeFileSync(file, scope.identity.ca)
  return file
}

/** What the process did at a test's server: no other has its port. */
function at(scope, port) {
  return totals()[`${scope.scheme}://127.0.0.1:${port}`]
}

/** Every number in what totals() says that may only grow, by its path. */
function counters(told, prefix = '', found = new Map()) {
  for (const [name, value] of Object.entries(told)) {
    // What is open at the moment, and what is measured of a histogram.
    if (['open', 'idle', 'leased', 'dialing', 'queued', 'limit', 'p50', 'p90', 'p99'].includes(name)) continue
    const key = `${prefix}/${name}`
    if (name === 'buckets') for (const [end, count] of value) found.set(`${key}/${end}`, count)
    else if (typeof value === 'number') found.set(key, value)
    else counters(value, key, found)
  }
  return found
}

function neverFell(before, after) {
  for (const [key, count] of before) assert.ok((after.get(key) ?? 0) >= count, `${key}: ${count}, ${after.get(key)}`)
}

testBoth('totals: agents that are gone stay counted, each thing once', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  let before = new Map()
  for (let round = 1; round <= 20; round++) {
    const agent = scope.agent({ keepAlive: true })
    await send({ port: peer.port, agent })
    await send({ port: peer.port, method: 'PUT', agent })
    agent.destroy()
    const now = counters(totals())
    neverFell(before, now)
    before = now
    const { created, durationMs, reused } = at(scope, peer.port)
    assert.deepStrictEqual([created, reused], [round, round])
    assert.deepStrictEqual([durationMs.GET['2xx'].count, durationMs.PUT['2xx'].count], [round, round])
  }
  await until(() => at(scope, peer.port).closed['agent-destroyed'] === 20)
  const told = at(scope, peer.port)
  assert.deepStrictEqual([told.ageMs.count, told.tcpMs.count, told.firstByteMs.count], [20, 20, 40])
  assert.deepStrictEqual([told.open, told.limit], [0, 0])
  const { full, resumed } = told.handshakes
  assert.strictEqual(full + resumed, scope.scheme === 'https' ? 20 : 0)
  assert.strictEqual(told.tlsMs.count, full + resumed)
})

test('totals: threads and agents come and go, and no counter falls', OURS, async (scope) => {
  const remote = await scope.remote()
  const script = path.join(__dirname, '../support/scripts/shared-client.js')
  let before = new Map()
  let isOver = false
  const look = async () => {
    while (!isOver) {
      const now = counters(totals())
      neverFell(before, now)
      before = now
      await turns(1)
    }
  }
  const work = async () => {
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(script, { workerData: { port: remote.port, own: round % 2 === 0 } })
      await once(worker, 'message')
      const answer = once(worker, 'message')
      worker.postMessage({ requests: 10 })
      await answer
      await worker.terminate()
    }
  }
  const looking = look()
  try {
    await Promise.all([work(), work(), work()])
  } finally {
    isOver = true
    await looking
  }
  const told = at(scope, remote.port)
  assert.strictEqual(told.durationMs.GET['2xx'].count, 90)
  assert.strictEqual(told.created + told.reused, 90)
})

test('totals: statuses, bytes and failures count at their place', OURS, async (scope) => {
  const statuses = [200, 204, 301, 404, 503, 799]
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/none') connection.end()
    else connection.write(reply('', [], `HTTP/1.1 ${target.slice(1)} Told`))
  })
  const agent = scope.agent({ keepAlive: true })
  for (const status of statuses) await send({ port: peer.port, path: `/${status}`, agent })
  await assert.rejects(send({ port: peer.port, path: '/none', method: 'POST', agent }))
  const told = at(scope, peer.port)
  const byClass = Object.entries(told.durationMs.GET).map(([name, { count }]) => [name, count])
  assert.deepStrictEqual(byClass.sort(), [
    ['2xx', 2],
    ['3xx', 1],
    ['4xx', 1],
    ['5xx', 1],
    ['other', 1],
  ])
  assert.strictEqual(told.durationMs.POST, undefined)
  assert.deepStrictEqual(told.errors, { ECONNRESET: 1 })
})

testBoth('totals: bytes are those of the messages, heads included, of large bodies too', OURS, async (scope) => {
  const answer = reply('x'.repeat(300_000))
  const peer = await scope.peer((_, connection) => connection.write(answer))
  const agent = scope.agent({ keepAlive: true })
  const body = 'y'.repeat(200_000)
  await send({ port: peer.port, method: 'POST', headers: { 'content-length': body.length }, agent }, body)
  const told = at(scope, peer.port)
  assert.strictEqual(told.receivedBytes, Buffer.byteLength(answer))
  assert.strictEqual(told.sentBytes, peer.connections[0].bytesReceived)
})

test('totals: the origin may be called otherwise, and those of one name are added up', OURS, async (scope) => {
  const peers = [await scope.peer(OK), await scope.peer(OK)]
  const agent = scope.agent({ keepAlive: true })
  for (const { port } of peers) await send({ port, agent })
  const names = peers.map(({ port }) => `http://127.0.0.1:${port}`)
  const told = totals({ origin: (name) => (names.includes(name) ? 'mine' : name) })
  assert.deepStrictEqual([told.mine.created, told.mine.idle, told.mine.limit], [2, 2, Infinity])
  assert.deepStrictEqual([told[names[0]], told[names[1]]], [undefined, undefined])
})

test('totals: 256 origins have a name, all others are one', { ...OURS, leaks: false }, async () => {
  const { code, lines, stderr } = await runScript('many-origins', ['300'])
  assert.strictEqual(code, 0, stderr)
  const [{ names, others, sum, merged }] = lines
  assert.deepStrictEqual({ names, others, sum, merged }, { names: 257, others: 44, sum: 300, merged: 300 })
})

test('totals: a name is where requests go to, without credentials, queries and settings', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, localAddress: '127.0.0.1' })
  await send({ port: peer.port, path: '/a?secret=1', auth: 'user:secret', agent })
  assert.strictEqual(at(scope, peer.port).created, 1)
  assert.doesNotMatch(JSON.stringify(totals()), /secret|user/)
})

test('totals: a fetch over https without an agent counts as well', { ...OURS, scheme: 'https' }, async (scope) => {
  const peer = await scope.peer(OK)
  const { lines, stderr } = await runScript('fetch-totals', [`https://localhost:${peer.port}`], {
    env: { NODE_EXTRA_CA_CERTS: trusted(scope) },
  })
  assert.deepStrictEqual(lines, [{ created: 1, reused: 1, answered: 2, firstBytes: 2 }], stderr)
})

testBoth('connections: who has which, and what it is', OURS, async (scope) => {
  const held = []
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/held') held.push(connection)
    else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  const other = scope.agent({ keepAlive: true })
  assert.deepStrictEqual(connections(agent), [])
  await send({ port: peer.port, agent })
  await send({ port: peer.port, agent })
  const answer = send({ port: peer.port, path: '/held', agent: other })
  await until(() => held.length === 1)

  const [idle, ...rest] = connections(agent)
  assert.deepStrictEqual(rest, [])
  assert.deepStrictEqual([idle.state, idle.uses, idle.remotePort], ['idle', 2, peer.port])
  assert.strictEqual(idle.origin, `${scope.scheme}://127.0.0.1:${peer.port}`)
  assert.strictEqual(idle.remoteAddress, '127.0.0.1')
  assert.ok(idle.ageMs >= idle.idleMs && idle.idleMs >= 0)
  if (scope.scheme === 'https') {
    assert.match(idle.tls.protocol, /^TLSv1\.[23]$/)
    assert.match(idle.tls.cipher, /^TLS_/)
  } else assert.strictEqual(idle.tls, null)

  const [leased] = connections(other)
  assert.deepStrictEqual([leased.state, leased.uses, leased.idleMs], ['leased', 0, 0])
  const all = connections().map(({ id }) => id)
  assert.ok(all.includes(idle.id) && all.includes(leased.id) && idle.id !== leased.id)
  held[0].write(reply('ok'))
  await answer
  assert.strictEqual(connections(other)[0].state, 'idle')
  agent.destroy()
  await until(() => connections(agent).length === 0)
})

test('through a proxy: how long it took is a step of its own, and connections say which it is', OURS, async (scope) => {
  const proxy = await scriptedProxy(scope)
  const { agent, ask, origin } = await targetThrough(scope, proxy)
  for (let at = 0; at < 3; at += 1) assert.strictEqual((await ask('/')).status, 200)
  const { connectMs, created, dnsMs, proxyMs, tcpMs, tlsMs } = totals()[origin]
  assert.deepStrictEqual([created, proxyMs.count, tcpMs.count, tlsMs.count], [1, 1, 1, 1])
  assert.ok(proxyMs.sum > 0)
  // Each is rounded up to a whole µs.
  const steps = dnsMs.sum + tcpMs.sum + proxyMs.sum + tlsMs.sum
  assert.ok(Math.abs(connectMs.sum - steps) <= 0.004, `${connectMs.sum} of ${steps}`)
  const [connection, ...others] = connections(agent)
  assert.deepStrictEqual([connection.proxy, others], [proxy.url, []])
  assert.doesNotMatch(JSON.stringify([connections(), totals()]), new RegExp([LOGIN.password, LOGIN.digest].join('|')))
  const direct = await scope.peer(OK)
  const other = scope.agent({ keepAlive: true })
  await send({ port: direct.port, agent: other })
  assert.strictEqual(connections(other)[0].proxy, null)
  assert.strictEqual(totals()[`http://127.0.0.1:${direct.port}`].proxyMs.count, 0)
})

test('connections: what is no agent of ours is refused', OURS, async () => {
  for (const wrong of [null, 1, {}, new http.Agent()]) {
    assert.throws(() => connections(wrong), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  assert.deepStrictEqual(connections(new Agent()), [])
})
