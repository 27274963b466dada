'use strict'

// Requests beside bombs, which decode to gigabytes: see support/beside.js. What they pay in time is for `npm run beside` to say.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')

const { bombard, innocents, readings } = require('./support/beside')
const { testBoth: test } = require('./support/suite')

const OURS = { ours: 'has no fetch of its own', timeout: 180_000 }
const REQUESTS = 100

async function bombed(scope) {
  const { port } = await scope.remote('hostile-peer.js')
  const agent = scope.agent({ keepAlive: true })
  return { agent, port, origin: `${scope.scheme}://127.0.0.1:${port}` }
}

for (const reading of /** @type {(keyof typeof readings)[]} */ (Object.keys(readings))) {
  test(`requests beside a bomb that is ${reading} get their own responses`, OURS, async (scope) => {
    const { agent, port, origin } = await bombed(scope)
    const bombs = bombard({ origin, agent, reading })
    await bombs.begun
    await innocents({ origin, port, agent, seed: 1, goesOn: (done) => done < REQUESTS })
    assert.ok((await bombs.stop()) > 0)
  })
}

/** What src/fetch/pace.rs allows: at first, for each encoded byte, and in each ms; a late timer may make up for some. */
const PACE = { first: 2 ** 20, perByte: 32, perMs: 64 * 1024, slackMs: 6 }

test('a bomb that is read piece by piece comes at a pace that leaves time for others', OURS, async (scope) => {
  const { fetch } = require('..')
  const { agent, origin } = await bombed(scope)
  // It may be decoded before JavaScript has heard of it.
  const begun = performance.now()
  const response = await fetch(`${origin}/bomb`, { agent })
  const encoded = Number(response.headers.get('content-length'))
  assert.ok(encoded > 0)
  const reader = response.body.getReader()
  const free = PACE.first + PACE.perByte * encoded
  let bytes = 0
  while (bytes < 10 * free) {
    const { value } = await reader.read()
    bytes += value.length
    const ms = performance.now() - begun + PACE.slackMs
    assert.ok(bytes <= free + PACE.perMs * (ms + 1), `${bytes} bytes after ${ms} ms`)
  }
  await reader.cancel()
})

const TASKS = '/proc/self/task'

/** @returns {Record<string, number>} what threads of each name have been at work, in ns */
function work() {
  const spent = {}
  for (const id of fs.readdirSync(TASKS)) {
    try {
      const name = fs.readFileSync(path.join(TASKS, id, 'comm'), 'utf8').trim()
      const [ns] = fs.readFileSync(path.join(TASKS, id, 'schedstat'), 'utf8').split(' ')
      spent[name] = (spent[name] ?? 0) + Number(ns)
    } catch {
      // It has ended.
    }
  }
  return spent
}

const counts = process.platform === 'linux' && fs.existsSync(path.join(TASKS, String(process.pid), 'schedstat'))

test('a bomb is work for a decoder, not for the thread that all requests have in common', {
  ...OURS,
  skip: !counts && 'the system does not tell how long threads have been at work',
}, async (scope) => {
  const { fetch } = require('..')
  const { agent, origin } = await bombed(scope)
  const before = work()
  let decoder = 0
  let io = 0
  // A decoder that has nothing to do for seconds ends, and then nobody knows what it has done.
  while (decoder < 20e6) {
    const response = await fetch(`${origin}/bomb`, { agent, maxResponseSize: 100e6 })
    await assert.rejects(response.text(), (error) => error.cause.code === 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE')
    const after = work()
    decoder = (after['keepwire-decode'] ?? 0) - (before['keepwire-decode'] ?? 0)
    io = after['keepwire-io'] - (before['keepwire-io'] ?? 0)
  }
  // Once, the I/O thread freed what was refused: that alone took an eighth of the decoder's time.
  assert.ok(io < decoder / 14, `${io / 1e6} ms beside ${decoder / 1e6}`)
})
