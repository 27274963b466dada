'use strict'

// Which pieces of a request the engine reads where they are, and when their user is told that they are sent.

const assert = require('node:assert')

const { WRITE_LENT, WRITE_WANT_ACK } = require('../../lib/bridge/layout.js')
const { Outgoing } = require('../../lib/exchange/upload.js')
const { test } = require('../support/suite')
const { turns } = require('../support/wait')

const KB = 1024
const WRITABLE = 64 * KB
const OURS = { ours: 'lends nothing' }

/** A request's way out to an engine that only notes what it is given. */
function outgoing() {
  const given = []
  const exchange = {
    id: 1,
    hasLent: false,
    origin: { secure: undefined },
    connection: { isConnected: true, socket: { emit() {} } },
    req: { method: 'POST', shouldKeepAlive: true, getHeader: () => 'said' },
    port: {
      round: 0,
      submission: {
        write(_id, data, _encoding, flags) {
          given.push(flags)
          return data.length
        },
      },
    },
    begin() {},
    afterSending() {},
    takeLent() {
      this.hasLent = false
    },
  }
  return { out: new Outgoing(/** @type {any} */ (exchange)), exchange, given }
}

/** Writes a piece; true once its user is told. */
function written(out, piece) {
  const state = { isTold: false }
  out.write(piece, null, () => (state.isTold = true), WRITABLE)
  return state
}

test('what is lent counts as sent when the kernel has it, however much room there is for more', OURS, async () => {
  const { out, exchange, given } = outgoing()
  const copied = Array.from({ length: 5 }, () => written(out, Buffer.alloc(60 * KB)))
  const lent = written(out, Buffer.alloc(64 * KB))
  assert.deepStrictEqual(given, [0, 0, 0, 0, WRITE_WANT_ACK, WRITE_WANT_ACK | WRITE_LENT])
  out.acknowledge(300 * KB)
  await turns(2)
  assert.ok(copied.every(({ isTold }) => isTold))
  assert.ok(!lent.isTold)
  assert.ok(exchange.hasLent)
  assert.strictEqual(out.pending, 64 * KB)
  const behind = written(out, Buffer.alloc(10))
  await turns(2)
  assert.ok(!behind.isTold, 'what is behind it is sent after it')
  out.acknowledge(364 * KB)
  await turns(2)
  assert.ok(lent.isTold)
  assert.ok(behind.isTold)
  assert.ok(!exchange.hasLent)
})

test('nothing is lent that may shrink, is shared with other threads, is small or has room in the kernel', OURS, () => {
  const shrinking = /** @type {any} */ (ArrayBuffer.prototype).resize
    ? new Uint8Array(new /** @type {any} */ (ArrayBuffer)(300 * KB, { maxByteLength: 600 * KB }))
    : undefined
  for (const piece of [shrinking, new Uint8Array(new SharedArrayBuffer(300 * KB)), 'x'.repeat(300 * KB)]) {
    if (piece === undefined) continue
    const { out, given } = outgoing()
    out.write(piece, null, undefined, WRITABLE)
    assert.deepStrictEqual(given, [WRITE_WANT_ACK])
  }
  const { out, given } = outgoing()
  out.write(Buffer.alloc(256 * KB), null, undefined, WRITABLE)
  out.write(Buffer.alloc(64 * KB - 1), null, undefined, WRITABLE)
  out.write(Buffer.alloc(64 * KB), null, undefined, WRITABLE)
  assert.deepStrictEqual(given, [0, WRITE_WANT_ACK, WRITE_WANT_ACK | WRITE_LENT])
})
