'use strict'

// Who mocks requests gets every request, and nobody gets one that no user made: nock, msw and mocks by hand, loaded before and
// after keepwire, whichever way it is used.

const assert = require('node:assert')
const http = require('node:http')
const { before, describe, test } = require('node:test')

const { runBeside, skipped } = require('../support/programs')

const PROGRAMS = { nock13: 'nock', nock14: 'nock', nock15: 'nock', msw2: 'msw', msw3: 'msw' }
/** Each group in a process of its own: an install() is for all that comes after it. */
const GROUPS = [['agent', 'stand-in', 'fetch', 'fetch with an agent'], ['install'], ['install with request']]
const RUNTIME = 'the runtime alone'
/** Quickly, the older majors come first alone: the full run has them come last as well. */
const isQuick = process.env.KEEPWIRE_TEST_QUICK === '1'
const NEWEST = ['nock15', 'msw3']
const ordersOf = (/** @type {string} */ program) =>
  isQuick && !NEWEST.includes(program) ? ['first'] : ['first', 'last']

for (const [program, mock] of Object.entries(PROGRAMS)) {
  for (const order of ordersOf(program)) {
    describe(`${program}, loaded ${order}`, { skip: skipped(program) }, () => {
      const run = (ways) => runBeside('mocks', { program, args: [mock, order, ways] })
      let usual
      before(async () => {
        usual = (await run(RUNTIME)).told[RUNTIME]
      })

      for (const ways of GROUPS) {
        test(`${ways.join(', ')}: what is mocked is mocked, and no more is heard of than of the runtime's requests`, async () => {
          const { told, requests, dialsWhileMocked } = await run(ways)
          assert.strictEqual(dialsWhileMocked, 0)
          for (const way of ways) {
            const { answers, heard } = told[way]
            assert.deepStrictEqual(answers, usual.answers, way)
            if (!way.startsWith('fetch')) assert.deepStrictEqual(heard, usual.heard, way)
          }
          const real = requests.filter((request) => request === 'GET /real')
          assert.strictEqual(real.length, ways.length)
          assert.strictEqual(requests.filter((request) => request === 'POST /sent').length, ways.length)
          assert.strictEqual(requests.length, ways.length * (order === 'last' ? 4 : 3))
        })
      }
    })
  }
}

const FETCH = 'the runtime alone by fetch'
const INSTALLED = 'install with fetch'
/** Deno's own fetch does not say why one failed. */
const plain = ({ answers, heard }) => ({
  answers: Object.fromEntries(
    Object.entries(answers).map(([name, told]) => [name, told.replace(/^failed:.*/, 'failed')]),
  ),
  heard,
})

for (const [program, mock] of Object.entries(PROGRAMS)) {
  for (const order of ordersOf(program)) {
    const title = `${program}, loaded ${order}: install({ fetch: true }) changes nothing of what is mocked`
    test(title, { skip: skipped(program) }, async () => {
      const run = (way) => runBeside('mocks', { program, args: [mock, order, way] })
      const usual = await run(FETCH)
      const { told, requests, dialsWhileMocked, stderr } = await run(INSTALLED)
      assert.deepStrictEqual(plain(told[INSTALLED]), plain(usual.told[FETCH]))
      assert.deepStrictEqual(requests, usual.requests)
      assert.strictEqual(dialsWhileMocked, 0)
      // Who came first is asked in place of the engine; who came last is in front of it.
      const isInTheWay = order === 'first' && program !== 'nock13'
      assert.strictEqual(/globalThis\.fetch had been replaced/.test(stderr), isInTheWay)
    })
  }
}

for (const mock of ['socket', 'connect', 'secure']) {
  for (const order of ['first', 'last']) {
    const title = `a mock of ${mock}, put there ${order}, is not passed by, and the engine is back when it is gone`
    test(title, async () => {
      const usual = (await runBeside('mocks', { args: [mock, order, RUNTIME] })).told[RUNTIME]
      for (const ways of GROUPS) {
        const { told, dialsWhileMocked, stderr } = await runBeside('mocks', { args: [mock, order, ways] })
        assert.strictEqual(dialsWhileMocked, 0)
        for (const way of ways) assert.deepStrictEqual(told[way].answers, usual.answers, way)
        assert.strictEqual(stderr.match(/KEEPWIRE_WARN_FALLBACK/g)?.length ?? 0, 1)
      }
    })
  }
}

for (const mock of ['createConnection', 'createSocket']) {
  for (const order of ['first', 'last']) {
    const title = `a mock of every agent's ${mock}, put there ${order}, is not passed by, and the engine is back when it is gone`
    test(title, async () => {
      const usual = (await runBeside('mocks', { args: [mock, order, RUNTIME] })).told[RUNTIME]
      for (const way of ['agent', 'stand-in', 'install', 'install with request']) {
        const { told, dialsWhileMocked, dials, stderr } = await runBeside('mocks', { args: [mock, order, way] })
        assert.deepStrictEqual(told[way].answers, usual.answers, way)
        // Node 18's global agents keep no connection.
        const keepsAlive = way === 'agent' || http.globalAgent.options.keepAlive
        assert.deepStrictEqual([dialsWhileMocked, dials], [0, keepsAlive || order === 'first' ? 1 : 2], way)
        assert.strictEqual(stderr.match(/KEEPWIRE_WARN_FALLBACK/g)?.length ?? 0, 1, way)
      }
    })
  }
}
