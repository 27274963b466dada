'use strict'

// Requests that race with the server closing their connection: see support/races.js. The full-length version, with
// other agents beside ours, is `npm run races`.

const assert = require('node:assert')

const { race } = require('./support/races')
const { send } = require('./support/client')
const { testBoth } = require('./support/suite')

const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 500 : 1_500

for (const method of ['GET', 'POST']) {
  testBoth(
    `a server that closes just when a ${method} comes: nothing is done twice, no answer is another's`,
    async (scope) => {
      const agent = scope.agent({ keepAlive: true })
      const racer = { name: 'ours', send: async (options) => (await send({ ...options, agent })).body, close() {} }
      const run = { method, requests: REQUESTS, seed: 2, identity: scope.identity }
      const { errors, wrong, duplicates, codes, requests } = await race(racer, run)
      assert.deepStrictEqual({ wrong, duplicates, requests }, { wrong: 0, duplicates: 0, requests: REQUESTS })
      if (method === 'GET') assert.strictEqual(errors, 0)
      // A POST that was on its way when the server closed is not sent again: nobody can tell whether it was read.
      else
        assert.deepStrictEqual(
          Object.keys(codes).filter((code) => code !== 'ECONNRESET'),
          [],
        )
    },
  )
}
