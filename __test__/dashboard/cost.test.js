'use strict'

// What it costs a program to be looked at: the long version is `npm run watched`.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { test } = require('../support/suite')
const { repeatedly } = require('../support/wait')

const ORIGINS = 256
const CONNECTIONS = 4
/** Of what a request to each of these origins takes: a look has to be cheaper than what it looks at, however fast the machine is. */
const MOST_OF_REQUESTS = 0.5
/** A sample that tells every counter of every origin, changed or not, has 43,000. */
const MOST_CHARACTERS = 30_000

test(
  'cost: a look at 256 origins that are all in use takes less than half of what a request to each does',
  {
    ours: 'shows nothing',
    // It is the same code everywhere: seen once, by `npm test` and by the whole matrix.
    skip: process.env.KEEPWIRE_TEST_QUICK === '1' && 'measured by npm test',
    timeout: 240_000,
    leaks: false,
  },
  () =>
    // One that is interrupted at the wrong moment is measured again.
    repeatedly(async () => {
      const { code, lines, stderr } = await runScript('watched', [ORIGINS, CONNECTIONS, 12, 250], {
        deadlineMs: 120_000,
      })
      assert.strictEqual(code, 0, stderr)
      assert.deepStrictEqual(
        lines.map(({ view }) => view),
        ['overview', 'origin', 'proxies'],
      )
      for (const { beside, changed, characters, listed, ms, open, view } of lines) {
        assert.ok(open >= ORIGINS * CONNECTIONS, `${open} are open`)
        assert.strictEqual(changed, ORIGINS, 'each origin had something to tell')
        assert.strictEqual(listed, view === 'origin' ? CONNECTIONS : 0)
        assert.ok(characters < MOST_CHARACTERS, `${view}: ${characters} characters`)
        assert.ok(ms > 0 && ms < MOST_OF_REQUESTS * beside, `${view}: ${ms} ms, the requests ${beside} ms`)
      }
    }, 3),
)
