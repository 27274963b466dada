'use strict'

// SDKs and clients as published that call the global fetch: openai's, Anthropic's and Stripe's, ky, ofetch. After
// install({ fetch: true }) they say and hear the same, over keepwire's connections.

const assert = require('node:assert')
const { test } = require('node:test')

const { runBeside, skipped } = require('../support/programs')

const run = (way) => runBeside('sdks', { program: 'sdks', args: [way] })

test('SDKs that call the global fetch are carried after install({ fetch: true })', {
  skip: skipped('sdks'),
}, async () => {
  const usual = await run('the runtime alone')
  assert.strictEqual(usual.dials, 0)
  for (const [name, value] of Object.entries(usual.told)) assert.doesNotMatch(String(value), /^failed/, name)
  const { dials, requests, stderr, told } = await run('install')
  assert.deepStrictEqual(told, usual.told)
  assert.deepStrictEqual(requests, usual.requests)
  // One, and another after a stream that was given up.
  assert.ok(dials === 1 || dials === 2, String(dials))
  assert.doesNotMatch(stderr, /KEEPWIRE_WARN/)
})
