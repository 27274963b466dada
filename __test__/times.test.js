'use strict'

// Options that are times, with what is no time: the runtime's meaning or a clear error, and never a timer that runs wild.

const assert = require('node:assert')
const http = require('node:http')

const keepwire = require('..')
const { reply } = require('./support/peer')
const { isNode } = require('./support/runtime')
const { test } = require('./support/suite')
const { delay } = require('./support/wait')

const VALUES = [
  Number.POSITIVE_INFINITY,
  Number.NaN,
  -1,
  Number.NEGATIVE_INFINITY,
  '100',
  'x',
  {},
  true,
  null,
  0,
  2 ** 31,
  2 ** 40,
]
const OURS = [
  'freeSocketTimeout',
  'socketActiveTTL',
  'connectTimeout',
  'headersTimeout',
  'bodyTimeout',
  'queueTimeout',
  'tcpUserTimeout',
]

const shown = (value) => `${typeof value} ${typeof value === 'object' ? JSON.stringify(value) : value}`

/** How a request ends that takes a while: its status, or the code of what is thrown or told. */
function outcome(request, options) {
  return new Promise((resolve) => {
    try {
      request({ host: '127.0.0.1', ...options }, (res) => res.resume().on('end', () => resolve(res.statusCode)))
        .on('error', ({ code }) => resolve(code))
        .end()
    } catch ({ code }) {
      resolve(`throws ${code}`)
    }
  })
}

/** Answers after nothing has happened for a while: a timer that runs wild has its time. */
async function late(_, connection) {
  await delay(40)
  connection.write(reply('ok'))
}

async function warningsDuring(action) {
  const warnings = []
  const listener = ({ name }) => warnings.push(name)
  process.on('warning', listener)
  await action()
  await new Promise(setImmediate)
  process.off('warning', listener)
  return warnings
}

for (const value of VALUES) {
  test(`timeout of an agent: ${shown(value)} means what it means to the runtime`, { skip: !isNode }, async (scope) => {
    const peer = await scope.peer(late)
    const theirs = await outcome(http.request, {
      port: peer.port,
      agent: scope.runtimeAgent({ keepAlive: true, timeout: value }),
    })
    const seen = []
    const warnings = await warningsDuring(async () => {
      for (const request of [http.request, keepwire.http.request]) {
        const agent = scope.agent({ keepAlive: true, timeout: value })
        // The second one is on a connection that has been idle.
        for (let i = 0; i < 2; i++) seen.push(await outcome(request, { port: peer.port, agent }))
      }
      const agent = scope.agent({ keepAlive: true, timeout: value })
      const ended = await keepwire.fetch(`http://127.0.0.1:${peer.port}/`, { agent }).then(
        (response) => response.text().then(() => response.status),
        ({ code }) => `throws ${code}`,
      )
      seen.push(ended)
    })
    assert.deepStrictEqual(seen, Array(5).fill(theirs))
    assert.deepStrictEqual(
      warnings.filter((name) => name === 'TimeoutOverflowWarning'),
      [],
    )
  })
}

for (const name of OURS) {
  test(`${name}: what is no time is refused, and a very long one is no short one`, async (scope) => {
    const peer = await scope.peer(late)
    for (const value of VALUES) {
      const isTime = typeof value === 'number' && value >= 0
      if (!isTime) {
        const code = typeof value === 'number' ? 'ERR_OUT_OF_RANGE' : 'ERR_INVALID_ARG_TYPE'
        assert.throws(() => scope.agent({ keepAlive: true, [name]: value }), { code }, shown(value))
        continue
      }
      const agent = scope.agent({ keepAlive: true, maxSockets: 1, [name]: value })
      const both = [1, 2].map(() => outcome(http.request, { port: peer.port, agent }))
      assert.deepStrictEqual(await Promise.all(both), [200, 200], shown(value))
    }
  })
}

test('the timeout of a fetch: what is no time is refused, and a very long one is no short one', async (scope) => {
  const peer = await scope.peer(late)
  const url = `http://127.0.0.1:${peer.port}/`
  const agent = scope.agent({ keepAlive: true })
  for (const value of VALUES) {
    const isTime = value === null || (typeof value === 'number' && value >= 0)
    if (!isTime) {
      await assert.rejects(keepwire.fetch(url, { agent, timeout: value }), ({ code }) =>
        /^ERR_(OUT_OF|INVALID)/.test(code),
      )
      continue
    }
    const response = await keepwire.fetch(url, { agent, timeout: value })
    assert.strictEqual(await response.text(), 'ok')
  }
})
