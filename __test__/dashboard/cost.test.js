'use strict'

// What it costs a program to be looked at: the long version is `npm run watched`.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { test } = require('../support/suite')
const { repeatedly } = require('../support/wait')

const ORIGINS = 256
const CONNECTIONS = 4
/** A second has one. */
const MOST_MS_A_LOOK = 5

test(
  'cost: of 256 origins that are all in use, a look takes less than 5 ms of the JavaScript thread',
  {
    ours: 'shows nothing',
    timeout: 240_000,
    leaks: false,
  },
  () =>
    // A machine that is busy with other things makes it slower, never quicker.
    repeatedly(async () => {
      const { code, lines, stderr } = await runScript('watched', [ORIGINS, CONNECTIONS, 12, 250], {
        deadlineMs: 120_000,
      })
      assert.strictEqual(code, 0, stderr)
      assert.deepStrictEqual(
        lines.map(({ view }) => view),
        ['overview', 'origin', 'proxies'],
      )
      for (const { changed, listed, ms, open, view } of lines) {
        assert.ok(open >= ORIGINS * CONNECTIONS, `${open} are open`)
        assert.strictEqual(changed, ORIGINS, 'each origin had something to tell')
        assert.strictEqual(listed, view === 'origin' ? CONNECTIONS : 0)
        assert.ok(ms > 0 && ms < MOST_MS_A_LOOK, `${view}: ${ms} ms`)
      }
    }, 3),
)
