'use strict'

// Tracers as published, and wrappers by hand, loaded before and after keepwire: a request has one span, as with the runtime's
// own, its context is on the wire, and keepwire's engine carries it all the same.

const assert = require('node:assert')
const { before, describe, test } = require('node:test')

const { isDeno } = require('../support/runtime')
const { runBeside, skipped } = require('../support/programs')

const TRACERS = ['opentelemetry', 'dd-trace', 'newrelic']
/** Those that count look-ups of names, where these can be heard of. */
const LOOKUPS = isDeno ? [] : ['opentelemetry', 'dd-trace']
/** Those that count spans of what they hear on the channels of undici, on which keepwire's fetch tells of its requests. */
const COUNTING = ['opentelemetry', 'dd-trace']
/** Of both functions of a module, or of one alone: the runtime's own `get` does not call a wrapper of `request`. */
const WRAPPERS = ['both', 'request', 'get']
const WAYS = ['agent', 'stand-in', 'install', 'install with request']
const FETCHES = ['fetch', 'fetch with an agent']
/** Each way is a process of its own: quickly, only those that come by the wrapper in ways of their own. */
const isQuick = process.env.KEEPWIRE_TEST_QUICK === '1'
const SHORT_WAYS = ['stand-in', 'install with request']
const ANSWERS = ['real /0', 'real /1', 'real /2', 'real /3']

for (const tracer of [...TRACERS, ...WRAPPERS]) {
  const program = TRACERS.includes(tracer) ? tracer : undefined
  const skip = program === undefined ? false : skipped(program)
  if (skip) test(`${tracer}`, { skip }, () => {})
  for (const order of skip ? [] : ['first', 'last']) {
    describe(`${tracer}, loaded ${order}`, () => {
      const run = (way) => runBeside('tracers', { program, args: [tracer, order, way] })
      let usual
      before(async () => {
        usual = await run('the runtime alone')
        assert.ok(usual.traced.includes(true))
        // More than one where a server looks the name up that it listens at, as from Node 24 on.
        assert.strictEqual(usual.spans.dns >= 1, LOOKUPS.includes(tracer))
      })

      for (const way of isQuick ? SHORT_WAYS : WAYS) {
        test(`${way}: as many spans as with the runtime's requests, on one connection of the engine`, async () => {
          const { answers, connections, fallbacks, spans, stderr, traced } = await run(way)
          assert.deepStrictEqual(answers, ANSWERS)
          assert.deepStrictEqual(traced, usual.traced)
          assert.deepStrictEqual(spans, usual.spans)
          assert.deepStrictEqual({ connections, fallbacks }, { connections: 1, fallbacks: {} })
          assert.doesNotMatch(stderr, /KEEPWIRE_WARN/)
        })
      }

      for (const way of isQuick ? FETCHES.slice(0, 1) : FETCHES) {
        const isHeard = TRACERS.includes(tracer)
        const title = isHeard ? 'one span a request, its context on the wire' : 'no span: it makes no http request'
        test(`${way}: ${title}`, async () => {
          const { answers, fallbacks, spans, traced } = await run(way)
          assert.deepStrictEqual(answers, ANSWERS)
          const counted = COUNTING.includes(tracer) ? { undici: ANSWERS.length } : {}
          // Of look-ups as many as with the runtime's requests: those of one connection.
          const { dns } = usual.spans
          assert.deepStrictEqual(spans, dns === undefined ? counted : { dns, ...counted })
          assert.deepStrictEqual(traced, Array(ANSWERS.length).fill(isHeard))
          assert.deepStrictEqual(fallbacks, {})
        })
      }
    })
  }
}

for (const [order, kind] of Object.entries({ first: 'undici', last: 'fetch' })) {
  test(`dd-trace, loaded ${order}: one span a request after install({ fetch: true })`, {
    skip: skipped('dd-trace'),
  }, async () => {
    const told = await runBeside('tracers', { program: 'dd-trace', args: ['dd-trace', order, 'install with fetch'] })
    const { answers, connections, fallbacks, spans, stderr, traced } = told
    assert.deepStrictEqual(answers, ANSWERS)
    const { dns, ...counted } = spans
    assert.deepStrictEqual(counted, { [kind]: ANSWERS.length })
    assert.deepStrictEqual(traced, Array(ANSWERS.length).fill(true))
    assert.deepStrictEqual({ connections, fallbacks }, { connections: 1, fallbacks: {} })
    assert.doesNotMatch(stderr, /KEEPWIRE_WARN/)
  })
}
