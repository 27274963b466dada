'use strict'

// Both sides of the border have the numbers of commands, records and flags: src/bridge/layout.rs and lib/bridge/layout.js
// must agree, name by name, and neither may have one that the other lacks.

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const layout = /** @type {Record<string, number>} */ (require('../../lib/bridge/layout.js'))
const { SLOT_SHIFT } = require('../../lib/bridge/response-heads.js')

/** What JavaScript calls Rust's constants, by their modules; a number: its value, which JavaScript has no name for. */
const NAMES = {
  '': {
    COMMAND_HEADER: 'COMMAND_HEADER',
    RECORD_HEADER: 'RECORD_HEADER',
    ALIGN: 4,
  },
  command: {
    BEGIN: 'BEGIN',
    WRITE: 'WRITE',
    END: 'END',
    ABORT: 'ABORT',
    ACK: 'ACK',
    SOCKOPT: 'SOCKOPT',
    CLOSE: 'CLOSE',
    APPROVE: 'APPROVE',
    TIMEOUTS: 'TIMEOUTS',
    FETCH: 'FETCH',
    FETCH_ABORT: 'FETCH_ABORT',
    FETCH_READ: 'FETCH_READ',
    RESOLVED: 'RESOLVED',
    BODY_WHOLE: 'FETCH_BODY_WHOLE',
    BODY_STREAM: 'FETCH_BODY_STREAM',
    WHOLE: 'READ_WHOLE',
    BODILESS: 'BEGIN_NO_BODY',
    KEEP: 'BEGIN_KEEP',
    IDEMPOTENT: 'BEGIN_IDEMPOTENT',
    REUSED: 'BEGIN_REUSED',
    FETCHED: 'BEGIN_FETCH',
    GUARDED: 'BEGIN_GUARDED',
    IN_LOOP: 'BEGIN_IN_LOOP',
    ALONE: 'BEGIN_ALONE',
    LAST: 'WRITE_END',
    WANT_ACK: 'WRITE_WANT_ACK',
    NO_DELAY: 'SOCKOPT_NO_DELAY',
    KEEP_ALIVE: 'SOCKOPT_KEEP_ALIVE',
  },
  purpose: { RETRYABLE: 'FOR_RETRYABLE', NOT_RETRYABLE: 'FOR_NOT_RETRYABLE', FALLBACK: 'FOR_FALLBACK' },
  leased: {
    QUEUED: 'QUEUED',
    IDLE: 'IDLE',
    DIALING: 'DIALING',
    FALLBACK: 'FALLBACK',
    QUEUE_FULL: 4,
    ADOPTING: 'ADOPTING',
  },
  looked: { HAS_RECORDS: 'LOOKED_RECORDS', WAITS: 'LOOKED_WAITS' },
  check_in: {
    UNUSED: 'UNUSED',
    CLOSED: 'CHECKED_IN_CLOSED',
    IDLE: 1,
    HANDED: 'CHECKED_IN_HANDED',
  },
  record: {
    RESPONSE: 'RESPONSE',
    DATA: 'DATA',
    END: 'RESPONSE_END',
    ERROR: 'ERROR',
    WRITTEN: 'WRITTEN',
    ASSIGNED: 'ASSIGNED',
    CONNECTED: 'CONNECTED',
    CLOSED: 'CLOSED',
    EVICT: 'EVICT',
    SECURED: 'SECURED',
    PARTED: 'PARTED',
    STALLED: 'STALLED',
    LOOKUP: 'LOOKUP',
    SLOT_SHIFT: 'SLOT_SHIFT',
    HTTP10: 'HTTP_1_0',
    ODD_VERSION: 'ODD_VERSION',
    EXTERNAL: 'EXTERNAL',
    KEEP_ALIVE: 'KEEP_ALIVE',
    LAST: 'MESSAGE_END',
    REQUEST_WRITTEN: 'ALL_WRITTEN',
    INFORMATIONAL: 'INFORMATIONAL',
    REPLACES: 'REPLACES',
    RESENT: 'RESENT',
    ADOPTED: 'ADOPTED',
    ASKS: 'ASKS',
    PROXYS: 'PROXYS',
    RENEGOTIATES: 'RENEGOTIATES',
    AFTER_HEAD: 'AFTER_HEAD',
    MIGHT_DO: 'MIGHT_DO',
    MAY_DO: 'MAY_DO',
    ASK: 'ASK',
    RESUMED: 'RESUMED',
  },
}

/** Of JavaScript alone: the sizes of its buffers, and from which size on a chunk goes by itself. */
const OURS_ALONE = ['SUBMISSION_BYTES', 'COMPLETION_BYTES', 'LARGE_CHUNK']

/** @param {string} file under src/ */
function source(file) {
  return readFileSync(path.join(__dirname, '../../src', file), 'utf8')
}

/** @returns {Map<string, number>} the constants of layout.rs, each with its module */
function constants() {
  const found = new Map()
  let scope = ''
  for (const line of source('bridge/layout.rs').split('\n')) {
    const module = /^pub mod (\w+) \{/.exec(line)
    if (module !== null) scope = `${module[1]}::`
    else if (line === '}') scope = ''
    const constant = /^ *pub const (\w+): \w+ = (-?[\d.]+);$/.exec(line)
    if (constant !== null) found.set(scope + constant[1], Number(constant[2]))
    else assert.doesNotMatch(line, /\bconst\b/, 'a constant that this test can read')
  }
  return found
}

test('each number of one side of the border is known to the other side, and the same there', () => {
  const rust = constants()
  const ours = new Map(Object.entries({ ...layout, SLOT_SHIFT }))
  for (const name of OURS_ALONE) ours.delete(name)
  const window = /const RESPONSE_WINDOW: usize = (\d+) \* 1024;/.exec(source('config.rs'))
  assert.strictEqual(ours.get('WINDOW'), Number(window?.[1]) * 1024, 'the window of a response')
  ours.delete('WINDOW')
  const pieces = /const RESPONSE_PIECES: usize = (\d+);/.exec(source('config.rs'))
  assert.strictEqual(ours.get('WINDOW_PIECES'), Number(pieces?.[1]), 'the same in pieces')
  ours.delete('WINDOW_PIECES')
  for (const [module, names] of Object.entries(NAMES)) {
    for (const [name, nameHere] of Object.entries(names)) {
      const theirs = module === '' ? name : `${module}::${name}`
      assert.ok(rust.has(theirs), `${theirs} is in layout.rs`)
      const value = typeof nameHere === 'number' ? nameHere : ours.get(nameHere)
      assert.strictEqual(rust.get(theirs), value, `${theirs} is ${nameHere}`)
      rust.delete(theirs)
      ours.delete(String(nameHere))
    }
  }
  assert.deepStrictEqual([...rust.keys(), ...ours.keys()], [], 'none is known to one side alone')
})
