'use strict'

// What fetches leave behind when they are over: nothing, whatever was to end them early (timeouts, signals that live for long,
// signals that time out, aborts) and however their bodies were read.

const assert = require('node:assert')

const { fetch } = require('../..')
const { held, megabytes } = require('../support/memory')
const { test: testOne, testBoth } = require('../support/suite')
const { turns } = require('../support/wait')

const isQuick = process.env.KEEPWIRE_TEST_QUICK === '1'
/** Over TLS they are the same objects. */
const test = isQuick ? testOne : testBoth
const FETCHES = isQuick ? 3_000 : 20_000
/** The first ones bring heap and engine to their working size. */
const WARM_UP = isQuick ? 2_000 : 5_000
const LANES = 32
const ROUNDS = 6
const COLLECTIONS = 4
/** Of any one thing that each fetch left, there would be more. */
const MOST_GROWTH = isQuick ? 500_000 : 1_000_000
const HOURS = 3_600_000

const whole = (response) => response.text()
const inPieces = async (response) => {
  for await (const _ of response.body);
}
const given = (reason) => (error) => {
  if (error !== reason && error?.name !== reason) throw error
}

/** @param {{ agent: any, origin: string, programSignal: AbortSignal }} tools @returns {((i: number) => Promise<unknown>)[]} */
function kindsOf({ agent, origin, programSignal }) {
  const own = fetch.withDefaults({ baseUrl: origin, agent, timeout: HOURS })
  const over = (path, init, read = whole) => fetch(`${origin}/${path}`, { agent, ...init }).then(read)
  return [
    () => over('length', {}),
    () => over('chunked', { timeout: HOURS }, inPieces),
    () => over('split', { signal: programSignal }),
    () => over('split-chunked', { signal: programSignal, timeout: HOURS }, inPieces),
    () => over('length', { signal: AbortSignal.timeout(HOURS) }),
    () => over('echo', { method: 'POST', body: 'body', signal: new AbortController().signal }),
    () => over('empty', { timeout: HOURS }),
    () => own('/length').then(whole),
    () => over('never', { timeout: 1 }).catch(given('TimeoutError')),
    () => over('never', { signal: programSignal }, (response) => response.body.cancel()),
    () => {
      const controller = new AbortController()
      const reason = new Error('not needed')
      setImmediate(() => controller.abort(reason))
      return over('never', { signal: controller.signal }).catch(given(reason))
    },
    // Never asked for its body.
    () => over('length', { signal: programSignal }, () => {}),
  ]
}

test('thousands of fetches with timeouts and signals leave nothing on the heap', {
  timeout: 240_000,
}, async (scope) => {
  const remote = await scope.remote()
  const agent = scope.agent({ keepAlive: true, maxSockets: LANES, warnings: false })
  const programSignal = new AbortController().signal
  const kinds = kindsOf({ agent, origin: `${scope.scheme}://127.0.0.1:${remote.port}`, programSignal })
  let made = 0
  const upTo = async (end) => {
    const lane = async () => {
      while (made < end) {
        const i = made++
        await kinds[i % kinds.length](i)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }
  /** What one collection makes known to be over, the next ones collect. */
  const heap = async () => {
    for (let times = 0; times < COLLECTIONS; times += 1) {
      held()
      await turns(2)
    }
    return held().heap
  }
  /** @type {number[]} */
  const heaps = []
  for (let round = 0; round < ROUNDS; round += 1) {
    await upTo(WARM_UP + (FETCHES / ROUNDS) * round)
    heaps.push(await heap())
  }
  // What is kept grows with each round; what is only late does not.
  const growth = Math.min(...heaps.slice(-2)) - Math.min(...heaps.slice(0, 2))
  assert.ok(growth < MOST_GROWTH, `${FETCHES} fetches: ${heaps.map(megabytes).join(', ')}`)
})
