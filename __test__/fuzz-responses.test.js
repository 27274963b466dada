'use strict'

// Responses from a seeded generator, well-formed and not, are told as by the runtime. `npm run fuzz:responses` makes more.

const assert = require('node:assert')

const { fuzzResponses } = require('./support/fuzz-responses')
const { isNode, major } = require('./support/runtime')
const { test } = require('./support/suite')

const CASES = process.env.KEEPWIRE_TEST_QUICK === '1' ? 400 : 2_000

for (const seed of [1, 2]) {
  test(`${CASES} responses are told as by the runtime, but for what has a name: seed ${seed}`, {
    skip: (!isNode || major < 20) && 'its parser is another one',
    timeout: 180_000,
  }, async () => {
    const { done, unnamed } = await fuzzResponses({ seed, until: (count) => count >= CASES })
    assert.ok(done >= CASES)
    assert.deepStrictEqual(unnamed.slice(0, 3), [])
  })
}
