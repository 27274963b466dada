'use strict'

// fetch() does as the standard says wherever the runtime's own fetch does; `npm run fetch:compare` shows both in a table.

const { fetch } = require('../..')
const { startFetchServer } = require('../support/fetch-server')
const { test } = require('../support/suite')
const { cases } = require('./cases')

const runtimeFetch = globalThis.fetch

/** A few of the cases leave a rejection behind that belongs to the runtime's streams. */
async function passes(run, fetch) {
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
  test(`${room}: ${name}`, { leaks: false }, async () => {
    const wrong = await passes(run, fetch)
    if (wrong !== null && (await passes(run, runtimeFetch)) === null) throw wrong
  })
}
