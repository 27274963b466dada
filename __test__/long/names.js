'use strict'

// How soon requests follow a name that moves: `node __test__/long/names.js [ttl in ms] [runs]`. GETs and POSTs go on over four
// connections while a name server of the run's own moves the name three times. Fails if a request does, or if a move is not followed
// within `ttl`, a tenth of it, by which connections leave one after the other, and 50 ms: the question, and a request.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { nameServer } = require('../support/name-server')
const { Scope } = require('../support/suite')
const { reply } = require('../support/peer')

const [ttl = 1_000, runs = 5] = process.argv.slice(2).map(Number)
const OTHER_WORK_MS = 50
const PLACES = { first: '127.0.0.1', second: '127.0.0.2' }

async function once() {
  const scope = new Scope()
  try {
    let address = PLACES.first
    const server = await nameServer(scope, () => address)
    assert.ok(server, 'a name server of our own needs Linux, and the right to mount')
    const first = await scope.peer((_, connection) => connection.write(reply('first')))
    const { port } = first
    await scope.peer((_, connection) => connection.write(reply('second')), { port, host: PLACES.second })
    const control = await scope.peer(({ target }, connection) => {
      address = PLACES[target.slice(1)]
      connection.write(reply('ok'))
    })
    const { code, late, stderr, lines } = await runScript('names', ['rotated', port, control.port, 'http', ttl], {
      under: server.under,
    })
    assert.ok(code === 0 && !late, stderr)
    return lines[0]
  } finally {
    await scope.end()
  }
}

async function main() {
  const most = 1.1 * ttl + OTHER_WORK_MS
  const all = []
  for (let run = 0; run < runs; run += 1) {
    const { isServed, errors, followedMs } = await once()
    assert.deepStrictEqual({ isServed, errors }, { isServed: true, errors: [] })
    all.push(...followedMs)
  }
  console.log(
    `${all.length} moves, each followed after ${Math.min(...all)} to ${Math.max(...all)} ms (ttl: ${ttl}), 0 errors`,
  )
  assert.ok(
    all.every((ms) => ms <= most),
    `at most ${most} ms`,
  )
}

main()
