'use strict'

// fetch() does as the standard says; `npm run fetch:compare` shows it and the runtime's own in a table. What it does not do on
// some runtime is named here, and has to fail there: a case that passes again must leave the list.

const assert = require('node:assert')

const { fetch } = require('../..')
const { startFetchServer } = require('../support/fetch-server')
const { isBun, isDeno, isNode } = require('../support/runtime')
const { test } = require('../support/suite')
const { cases } = require('./cases')

const isNode18 = isNode && process.versions.node.startsWith('18.')

/** What fails there with the runtime's own fetch as well: its methods, Request, Response, Headers and streams are ours, too. */
const FAILS = {
  'requests: forbidden methods reject': isBun,
  'requests: invalid methods reject': isBun,
  'request bodies: a stream without duplex rejects': isBun || isDeno,
  'response headers: are immutable': isBun,
  'response bodies: body can be read into a buffer of the caller': isBun || isNode18,
  'response bodies: bytes()': isNode18,
}

/** A few of the cases leave a rejection behind that belongs to the runtime's streams. */
async function outcomeOf(run) {
  const server = await startFetchServer()
  try {
    await run(fetch, server)
    return null
  } catch (error) {
    return error
  } finally {
    await server.stop()
  }
}

for (const { room, name, run } of cases) {
  const fails = FAILS[/** @type {keyof typeof FAILS} */ (`${room}: ${name}`)] === true
  test(`${room}: ${name}`, { leaks: false }, async () => {
    const wrong = await outcomeOf(run)
    if (fails) assert.notStrictEqual(wrong, null, 'it passes, and is named as failing')
    else if (wrong !== null) throw wrong
  })
}

test('what is named as failing is a case', { leaks: false }, async () => {
  const known = cases.map(({ room, name }) => `${room}: ${name}`)
  assert.deepStrictEqual(
    Object.keys(FAILS).filter((name) => !known.includes(name)),
    [],
  )
})
