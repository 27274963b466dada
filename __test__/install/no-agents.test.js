'use strict'

// Runtimes whose http.request ignores agents (Bun up to 1.3): the faults of their own pool, and that keepwire/http and
// keepwire/register have none of them. On other runtimes, that they have none either.

const assert = require('node:assert')
const http = require('node:http')
const { test } = require('node:test')

const { runProgram } = require('./program')

const ignoresAgents = typeof http.ClientRequest.prototype.onSocket !== 'function'

/** Bun 1.3.4 heeds `keepAlive`, and any spelling of a server's answer to it. */
const isMended = process.versions.bun !== undefined && !/^1\.(?:[0-2]\.|3\.[0-3]$)/.test(process.versions.bun)

const ROUNDS = 5

/** What a pool does that honours its options. */
function assertFaultless({ notKept, spelled, limited, tooLarge, request, text, raw, port }) {
  assert.strictEqual(notKept, ROUNDS, 'keepAlive: false opens a connection for each request')
  assert.strictEqual(spelled, 1, "'Connection: Keep-Alive' keeps the connection in that spelling")
  assert.strictEqual(limited, 2, 'maxSockets holds')
  assert.strictEqual(tooLarge, 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE')
  const lines = ['POST /a/../b HTTP/1.1', 'X-CaSe: 1', `Host: 127.0.0.1:${port}`, 'Connection: keep-alive']
  assert.strictEqual(request, [...lines, 'Content-Length: 4', '', 'body'].join('\r\n'))
  assert.strictEqual(text, 'ok')
  assert.deepStrictEqual(raw, ['Content-Length', '2', 'X-Case', 'Kept', 'x-other', 'b'])
}

/** What requests over TLS come to. */
function assertSecure({ kept, notKept, untrusted, wrongName, unverified }) {
  assert.deepStrictEqual(kept, [['POST true true', 'POST true true', 'POST true true'], 1])
  assert.strictEqual(notKept, 3)
  for (const code of untrusted) assert.strictEqual(code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  assert.strictEqual(wrongName, 'ERR_TLS_CERT_ALTNAME_INVALID')
  assert.strictEqual(unverified, 'POST true false')
}

test("the runtime's own pool has faults", { skip: !ignoresAgents && 'its requests honour their agent' }, async () => {
  const { notKept, spelled, limited } = await runProgram('pool.js')
  assert.ok(limited > 2, `maxSockets: 2 opens ${limited} connections`)
  if (isMended) return
  assert.ok(notKept < ROUNDS, `keepAlive: false reuses: ${notKept} connections`)
  assert.strictEqual(spelled, ROUNDS, "'Connection: Keep-Alive' opens a connection for each request")
})

test('keepwire/http has none', async () => {
  assertFaultless(await runProgram('pool.js', { args: ['keepwire/http'] }))
})

test('after keepwire/register, node:http has none', async () => {
  assertFaultless(await runProgram('pool.js', { register: true }))
})

test('keepwire/https has agents as well', async () => {
  assertSecure(await runProgram('secure.js', { args: ['keepwire/https'] }))
})

test('after keepwire/register, so has node:https', async () => {
  assertSecure(await runProgram('secure.js', { register: true }))
})

test('a server that has nothing in common with any TLS fails what is asked of it, and nothing else', async () => {
  const { told } = await runProgram('legacy.js')
  assert.strictEqual(told.length, 3)
  for (const code of told) assert.match(code, /^EPROTO$|^ERR_SSL_|^ECONNRESET$/)
})
