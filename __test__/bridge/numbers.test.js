'use strict'

// The numbers of exchanges: none is given twice, so nothing that comes late about an exchange reaches another one.

const assert = require('node:assert')

const { NONE, Numbers } = require('../../lib/bridge/numbers.js')
const { failure, random, read, request: begin, send } = require('../support/client')
const { test, testBoth } = require('../support/suite')
const { once } = require('../support/wait')

test('no number comes back, down to the last one of a small space, in any order of beginnings and ends', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed)
    // More than the places that there are at the beginning, or fewer.
    const most = [1, 3, 40, 200][seed % 4]
    const largest = 5 + Math.floor(next() * 500)
    const numbers = new Numbers(most, largest)
    const given = new Map()
    const open = []
    let latest = 0
    for (let steps = 0; latest < largest; steps++) {
      assert.ok(steps < 100 * largest, `it stops at ${latest} of ${largest} (seed ${seed})`)
      const value = { id: 0 }
      const isFull = open.length === most
      const id = next() < 0.6 ? numbers.take(value) : NONE
      if (id !== NONE) {
        assert.ok(!isFull && id > latest, `${id} comes back (seed ${seed})`)
        latest = id
        value.id = id
        given.set(id, value)
        open.push(value)
      } else if (open.length > 0) {
        const [ended] = open.splice(Math.floor(next() * open.length), 1)
        numbers.release(ended.id)
        given.set(ended.id, undefined)
      }
      for (const [number, value] of given) assert.strictEqual(numbers.get(number), value)
    }
    for (const { id } of open) numbers.release(id)
    assert.strictEqual(numbers.take({ id: 0 }), NONE)
  }
})

test('numbers whose places are taken for long are left out, and each is found', async () => {
  const numbers = new Numbers()
  const take = () => {
    const value = { id: 0 }
    value.id = numbers.take(value)
    return value
  }
  const lasting = []
  for (let i = 0; i < 20_000; i++) {
    const value = take()
    if (i % 97 === 0) lasting.push(value)
    else numbers.release(value.id)
    assert.ok(lasting.every(({ id }) => numbers.get(id)?.id === id))
  }
  assert.strictEqual(new Set(lasting.map(({ id }) => id)).size, lasting.length)
})

test('numbers beyond 32 bits are told apart from those with the same low ones', async () => {
  const numbers = new Numbers()
  const value = { id: 0 }
  value.id = numbers.take(value)
  for (const beyond of [2 ** 32, 2 ** 40, 2 ** 52]) assert.strictEqual(numbers.get(value.id + beyond), undefined)
})

test('a number that has had its turn finds nobody when its place is taken again', async () => {
  const numbers = new Numbers()
  const first = { id: 0 }
  first.id = numbers.take(first)
  numbers.release(first.id)
  for (let i = 0; i < 200_000; i++) {
    const value = { id: 0 }
    value.id = numbers.take(value)
    assert.ok(Number.isSafeInteger(value.id) && value.id > first.id)
    assert.strictEqual(numbers.get(first.id), undefined)
    assert.strictEqual(numbers.get(value.id), value)
    numbers.release(value.id)
  }
})

test('more than 2^20 exchanges may be open at a time, and each is found by its number', async () => {
  const numbers = new Numbers()
  const values = Array.from({ length: 2 ** 20 + 2 ** 16 }, () => ({ id: 0 }))
  for (const value of values) value.id = numbers.take(value)
  assert.ok(values.every((value) => Number.isSafeInteger(value.id) && numbers.get(value.id) === value))
  assert.strictEqual(new Set(values.map(({ id }) => id)).size, values.length)
  for (const { id } of values) numbers.release(id)
  assert.ok(values.every(({ id }) => numbers.get(id) === undefined))
})

/** What answers a request that is begun after `count` others were refused, while the answer to one before them waits. */
async function answerBehind(scope, count) {
  const { port } = await scope.remote()
  const agent = scope.agent({ keepAlive: true })
  const full = scope.agent({ keepAlive: true, maxSockets: 1, maxPending: 0 })
  await Promise.all([1, 2].map((n) => send({ port, path: `/echo?${n}`, agent })))
  const held = begin({ port, path: '/never', agent: full })
  const holding = failure(read(held))
  held.end()
  await once(held, 'response')
  const answered = () => Object.values(agent.stats().origins).reduce((sum, origin) => sum + origin.firstByteMs.count, 0)
  const before = answered()
  const given = begin({ port, path: '/length', agent })
  const over = failure(read(given))
  given.end()
  // It is sent in the next ticks. From here to the last one below, the event loop does not turn: nothing of the engine's is heard.
  for (let i = 0; i < 5; i++) await new Promise((resolve) => process.nextTick(resolve))
  const deadline = Date.now() + 10_000
  while (answered() === before) assert.ok(Date.now() < deadline, 'no answer')
  given.destroy()
  await new Promise((resolve) => process.nextTick(resolve))
  const refused = Array.from({ length: count }, () => failure(send({ port, agent: full })))
  const last = await send({ port, path: '/echo', method: 'POST', agent }, 'mine')
  for (const { code } of await Promise.all(refused)) assert.strictEqual(code, 'ERR_KEEPWIRE_QUEUE_FULL')
  held.destroy()
  await Promise.all([over, holding])
  return last.body
}

testBoth(
  'thousands of requests are refused in a tick while a response waits: the next request gets its own',
  {
    ours: 'no maxPending',
  },
  async (scope) => {
    for (const count of [4094, 4095, 4096]) assert.strictEqual(await answerBehind(scope, count), 'mine')
  },
)
