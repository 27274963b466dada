'use strict'

// Programs in a sandbox: what the runtime forbids its own requests is forbidden to ours, with the runtime's own errors.
// https://nodejs.org/api/permissions.html, https://docs.deno.com/runtime/fundamentals/security/

const assert = require('node:assert')

const { runScript } = require('./support/child')
const { reply } = require('./support/peer')
const { isDeno, isNode } = require('./support/runtime')
const { test } = require('./support/suite')

const restrictsNet = isNode && process.allowedNodeEnvironmentFlags.has('--allow-net')
const SKIP = restrictsNet || isDeno ? false : 'this runtime can forbid nobody the network'

const redirects = ({ target }, connection) =>
  target === '/redirect'
    ? connection.write(
        `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${connection.port}/\r\nContent-Length: 0\r\n\r\n`,
      )
    : connection.write(reply('ok'))

/**
 * @param {import('./support/suite').Scope} scope
 * @param {(port: number) => string[]} permitted flags
 */
async function both(scope, permitted) {
  const seen = []
  for (const env of [{ KEEPWIRE_TEST_BASELINE: '1' }, {}]) {
    let port = 0
    const peer = await scope.peer((request, connection) => redirects(request, Object.assign(connection, { port })))
    port = peer.port
    const flags = isDeno
      ? ['--no-prompt', '--allow-env', '--allow-ffi', '--allow-sys']
      : ['--permission', '--allow-addons']
    const read = isDeno ? '--allow-read' : '--allow-fs-read=*'
    const { late, code, lines, stderr } = await runScript('permissions', [port, '127.0.0.1', 'localhost'], {
      env,
      flags: [...flags, read, ...permitted(port)],
      sandboxed: true,
    })
    assert.ok(!late && code === 0, stderr)
    const text = JSON.stringify(lines).replaceAll(String(port), 'PORT')
    seen.push({ lines: JSON.parse(text), accepted: peer.accepted })
  }
  const [theirs, ours] = seen
  return { theirs, ours, more: ours.lines.pop() }
}

test('nothing is connected to where the network is forbidden', { skip: SKIP, timeout: 60_000 }, async (scope) => {
  const { theirs, ours, more } = await both(scope, () => [])
  assert.deepStrictEqual(ours.lines, theirs.lines)
  assert.strictEqual(ours.accepted, 0)
  assert.deepStrictEqual(more, { opened: 0, reasons: ['permission'] })
})

test('where the network is allowed, the engine connects', { skip: SKIP, timeout: 60_000 }, async (scope) => {
  const { theirs, ours, more } = await both(scope, () => ['--allow-net'])
  assert.deepStrictEqual(ours.lines, theirs.lines)
  assert.deepStrictEqual(ours.lines[0].ends['http.request'], { status: 200 })
  assert.deepStrictEqual(more, { opened: 1, reasons: [] })
})

const LISTS = [
  ['an address is allowed', (port) => [`--allow-net=127.0.0.1:${port}`], { opened: 1, reasons: ['permission'] }],
  ['a name is allowed', (port) => [`--allow-net=localhost:${port}`], { opened: 0, reasons: ['permission'] }],
  ['an address is denied', () => ['--allow-net', '--deny-net=127.0.0.1'], { opened: 0, reasons: ['permission'] }],
  ['everything is denied', () => ['--allow-net', '--deny-net'], { opened: 0, reasons: ['permission'] }],
]
for (const [what, permitted, expected] of LISTS) {
  const skip = isDeno ? false : 'only Deno has lists of hosts'
  test(`each host is judged, redirects too, where ${what}`, { skip, timeout: 60_000 }, async (scope) => {
    const { theirs, ours, more } = await both(scope, permitted)
    assert.deepStrictEqual(ours.lines, theirs.lines)
    assert.deepStrictEqual(more, expected)
  })
}
