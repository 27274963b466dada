'use strict'

// Both sides of the bridge have the numbers of commands, records and flags: src/bridge/layout.rs and
// lib/bridge/layout.js must agree.

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const layout = /** @type {Record<string, number>} */ (require('../../lib/bridge/layout.js'))
const source = readFileSync(path.join(__dirname, '../../src/bridge/layout.rs'), 'utf8')

/** Rust's name, with its module, and JavaScript's. */
const NAMES = [
  ['COMMAND_HEADER', 'COMMAND_HEADER'],
  ['RECORD_HEADER', 'RECORD_HEADER'],
  ['command::BEGIN', 'BEGIN'],
  ['command::WRITE', 'WRITE'],
  ['command::END', 'END'],
  ['command::ABORT', 'ABORT'],
  ['command::ACK', 'ACK'],
  ['command::SOCKOPT', 'SOCKOPT'],
  ['command::CLOSE', 'CLOSE'],
  ['command::PATIENCE', 'PATIENCE'],
  ['command::BODILESS', 'BEGIN_NO_BODY'],
  ['command::IDEMPOTENT', 'BEGIN_IDEMPOTENT'],
  ['command::REUSED', 'BEGIN_REUSED'],
  ['command::LAST', 'WRITE_END'],
  ['command::WANT_ACK', 'WRITE_WANT_ACK'],
  ['command::NO_DELAY', 'SOCKOPT_NO_DELAY'],
  ['command::KEEP_ALIVE', 'SOCKOPT_KEEP_ALIVE'],
  ['purpose::REPEATABLE', 'FOR_REPEATABLE'],
  ['purpose::ONCE', 'FOR_ONCE'],
  ['purpose::FOREIGN', 'FOR_FOREIGN'],
  ['record::RESPONSE', 'RESPONSE'],
  ['record::DATA', 'DATA'],
  ['record::END', 'RESPONSE_END'],
  ['record::ERROR', 'ERROR'],
  ['record::WRITTEN', 'WRITTEN'],
  ['record::ASSIGNED', 'ASSIGNED'],
  ['record::CONNECTED', 'CONNECTED'],
  ['record::CLOSED', 'CLOSED'],
  ['record::EVICT', 'EVICT'],
  ['record::HTTP10', 'HTTP_1_0'],
  ['record::EXTERNAL', 'EXTERNAL'],
  ['record::KEEP_ALIVE', 'KEEP_ALIVE'],
  ['record::LAST', 'MESSAGE_END'],
  ['record::REQUEST_WRITTEN', 'ALL_WRITTEN'],
  ['record::INFORMATIONAL', 'INFORMATIONAL'],
  ['record::RENEGOTIATES', 'RENEGOTIATES'],
  ['record::AFTER_HEAD', 'AFTER_HEAD'],
  ['record::REPLACES', 'REPLACES'],
  ['record::RESENT', 'RESENT'],
  ['record::ADOPTED', 'ADOPTED'],
]

function constants() {
  const found = new Map()
  let scope = ''
  for (const line of source.split('\n')) {
    const module = /^pub mod (\w+) \{/.exec(line)
    if (module !== null) scope = `${module[1]}::`
    else if (line === '}') scope = ''
    const constant = /pub const (\w+): \w+ = (\d+);/.exec(line)
    if (constant !== null) found.set(scope + constant[1], Number(constant[2]))
  }
  return found
}

test('both sides of the bridge have the same numbers', () => {
  const rust = constants()
  for (const [theirs, ours] of NAMES) {
    assert.strictEqual(typeof layout[ours], 'number', ours)
    assert.strictEqual(rust.get(theirs), layout[ours], `${theirs} is ${ours}`)
  }
  const { SLOT_SHIFT } = require('../../lib/bridge/response-heads.js')
  assert.strictEqual(rust.get('record::SLOT_SHIFT'), SLOT_SHIFT)
})
