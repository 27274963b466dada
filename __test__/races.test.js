'use strict'

// Requests that race with the server closing their connection: see support/races.js. The full-length version, with
// other agents beside ours, is `npm run races`.

const assert = require('node:assert')

const { race } = require('./support/races')
const { send } = require('./support/client')
const { testBoth } = require('./support/suite')

/** Requests at a time: all of the first ones may be lost before anything is learned. */
const LANES = 40
const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 500 : 1_500

for (const [method, isProxied] of [
  ['GET', false],
  ['POST', false],
  ['GET', true],
  ['POST', true],
]) {
  testBoth(
    `a ${isProxied ? 'proxy' : 'server'} that closes just when a ${method} comes: nothing is done twice, no answer is another's`,
    async (scope) => {
      const agent = scope.agent({ keepAlive: true })
      const racer = { name: 'ours', send: async (options) => (await send({ ...options, agent })).body, close() {} }
      const run = { method, requests: REQUESTS, seed: 2, lanes: LANES, identity: scope.identity, isProxied }
      const { errors, wrong, duplicates, codes, requests } = await race(racer, run)
      assert.deepStrictEqual({ wrong, duplicates, requests }, { wrong: 0, duplicates: 0, requests: REQUESTS })
      // A POST that was on its way when the server closed is not sent again: nobody can tell whether it was read. But such
      // connections are soon left alone.
      assert.ok(errors <= (method === 'GET' ? 0 : LANES), `${errors} errors`)
      assert.deepStrictEqual(
        Object.keys(codes).filter((code) => code !== 'ECONNRESET'),
        [],
      )
    },
  )
}
