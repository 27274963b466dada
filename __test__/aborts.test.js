'use strict'

// Requests that are given up at each moment: see support/aborts.js. The full-length version is `npm run aborts`.

const assert = require('node:assert')

const { abortMany } = require('./support/aborts')
const { testBoth } = require('./support/suite')

const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 400 : 1_500

testBoth(
  'each request settles that is given up while it waits, while its connection is dialed or while it is under way',
  { ours: 'settles requests of each kind', timeout: 180_000 },
  async (scope) => {
    const remote = await scope.remote()
    const makeAgent = (options) => scope.agent(options)
    const { scheme } = scope
    const { unsettled } = await abortMany({ makeAgent, scheme, remote, requests: REQUESTS, seed: 1 })
    assert.deepStrictEqual(unsettled, [])
  },
)
