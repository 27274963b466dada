'use strict'

// What a name server is asked, counted by one of our own.

const assert = require('node:assert')

const { runScript } = require('./support/child')
const { nameServer } = require('./support/name-server')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { test } = require('./support/suite')

const OURS = { skip: baseline && 'the runtime asks for each socket', timeout: 60_000 }

/**
 * @param {import('./support/suite').Scope} scope
 * @param {string} what
 */
async function asked(scope, what) {
  let begun
  const untilBegun = new Promise((resolve) => (begun = () => resolve('127.0.0.1')))
  const answers = { one: untilBegun, live: '127.0.0.1', dead: undefined }
  const server = await nameServer(scope, (name) => answers[name.match(/^[a-z]+/)[0]])
  // Said aloud, since a skipped test would look the same on a machine where it must run.
  if (server === null) return console.log('# no name server of our own here: nothing was tested')
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/begun') begun()
    connection.write(reply('ok'))
  })
  const { code, late, stderr, lines } = await runScript('names', [what, peer.port], { under: server.under })
  assert.ok(code === 0 && !late, stderr)
  return { told: lines[0], queries: server.queries }
}

test('a thousand requests at once to one name ask for it once', OURS, async (scope) => {
  const seen = await asked(scope, 'burst')
  if (seen === undefined) return
  assert.deepStrictEqual(seen, { told: { served: 1_000 }, queries: ['one.test A'] })
})

test('names that never answer hold no others back', OURS, async (scope) => {
  const seen = await asked(scope, 'dead')
  if (seen === undefined) return
  assert.deepStrictEqual(seen.told, { served: 180, settled: 0 })
  assert.strictEqual(new Set(seen.queries).size, 200)
})
