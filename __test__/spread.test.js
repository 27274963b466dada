'use strict'

// To which of a name's addresses connections go: with `addresses: 'spread'` to the one that has fewest of the agent's.

const assert = require('node:assert')

const { failure, parallel, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { until } = require('./support/wait')

const { fetch } = baseline ? {} : require('..')

const OURS = {
  ours: 'goes to the first',
  skip: process.platform !== 'linux' && 'this system has one address of its own',
}
const KEEP_ALIVE = { keepAlive: true, warnings: false, addresses: 'spread' }
const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3']

function lookup(_host, options, callback) {
  const all = ADDRESSES.map((address) => ({ address, family: 4 }))
  setImmediate(() => (options.all ? callback(null, all) : callback(null, all[0].address, 4)))
}

/** A server at each address, which hold their requests until they are let. */
async function three(scope) {
  const held = []
  const handler = (message, connection) => held.push(() => connection.write(reply('ok', message.closes)))
  const first = await scope.peer((message, connection) => handler(message, connection))
  const { port } = first
  const peers = [first]
  for (const host of ADDRESSES.slice(1)) peers.push(await scope.peer(handler, { port, host }))
  const counts = () => peers.map(({ accepted }) => accepted)
  return { port, peers, counts, held, answer: () => held.splice(0).forEach((answer) => answer()) }
}

/** How far apart they are. */
const spread = (counts) => Math.max(...counts) - Math.min(...counts)

testBoth('new connections go where there are fewest', OURS, async (scope) => {
  const { port, counts, held, answer } = await three(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, lookup })
  const options = { host: 'name.test', servername: 'localhost', port, agent }
  const all = []
  for (let round = 1; round <= 11; round += 1) {
    all.push(send(options))
    await until(() => held.length === round)
    assert.ok(spread(counts()) <= 1, String(counts()))
  }
  answer()
  await Promise.all(all)
  // All at once, too: those that are being opened count.
  const burst = parallel(26, () => options)
  await until(() => held.length === 26)
  assert.deepStrictEqual(counts().sort(), [8, 9, 9])
  answer()
  await burst
})

test('where connections have ended, new ones are opened', OURS, async (scope) => {
  const { port, peers, counts, held, answer } = await three(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, lookup })
  const options = { host: 'name.test', port, agent }
  const all = parallel(6, () => options)
  await until(() => held.length === 6)
  assert.deepStrictEqual(counts(), [2, 2, 2])
  answer()
  await all
  for (const connection of peers[1].connections) connection.socket.end()
  await until(() => agent.totalSocketCount === 4)
  const more = parallel(6, () => options)
  await until(() => held.length === 6)
  assert.deepStrictEqual(counts(), [2, 4, 2])
  answer()
  await more
})

test('an address that nobody answers at is tried once, and then after the others', OURS, async (scope) => {
  const { port, peers, counts, held, answer } = await three(scope)
  await peers[0].close()
  const agent = scope.agent({ ...KEEP_ALIVE, lookup, autoSelectFamily: true })
  const first = send({ host: 'name.test', port, agent })
  await until(() => held.length === 1)
  const all = parallel(7, () => ({ host: 'name.test', port, agent }))
  await until(() => held.length === 8)
  assert.deepStrictEqual(counts(), [0, 4, 4])
  answer()
  await first
  await all
  await peers[1].close()
  await peers[2].close()
  const error = await failure(
    send({ host: 'name.test', port, agent: scope.agent({ ...KEEP_ALIVE, lookup, autoSelectFamily: true }) }),
  )
  assert.strictEqual(error.errors.length, 3)
})

test(
  'fetch and connections opened in advance are spread as well; without the option all go to the first',
  OURS,
  async (scope) => {
    const { port, counts, held, answer } = await three(scope)
    const agent = scope.agent({ ...KEEP_ALIVE, lookup })
    const url = `http://name.test:${port}/`
    assert.strictEqual(await agent.preconnect(url, 2), 2)
    await until(() => counts().join() === '1,1,0')
    const all = [1, 2, 3].map(async () => (await fetch(url, { agent })).text())
    await until(() => held.length === 3)
    assert.deepStrictEqual(counts(), [1, 1, 1])
    answer()
    await Promise.all(all)
    const usual = parallel(3, () => ({
      host: 'name.test',
      port,
      agent: scope.agent({ ...KEEP_ALIVE, addresses: 'first', lookup }),
    }))
    await until(() => held.length === 3)
    assert.deepStrictEqual(counts(), [4, 1, 1])
    answer()
    await usual
  },
)

test('what makes no sense is refused', OURS, async (scope) => {
  for (const addresses of ['last', true, null, 1]) {
    assert.throws(() => scope.agent({ addresses }), { code: 'ERR_INVALID_ARG_VALUE' })
  }
  for (const rotate of [1, 'yes', null]) {
    assert.throws(() => scope.agent({ dns: { rotate } }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  assert.throws(() => scope.agent({ lookup, dns: { rotate: true } }), { code: 'ERR_INVALID_ARG_VALUE' })
})
