'use strict'

// Programs that freeze what they share with others, or have their own way with stacks, load and use keepwire.

const assert = require('node:assert')

const { runScript } = require('./support/child')
const { reply } = require('./support/peer')
const { isBun, isNode } = require('./support/runtime')
const { test } = require('./support/suite')

const answers = ({ target }, connection) => {
  if (target === '/garbage') connection.end('HTTP/1.1 abc\r\n\r\n')
  else if (target === '/ended') connection.end()
  else connection.write(reply('ok'))
}

const SERVED = [200, 200, 200, 200, 200, 'SocketError UND_ERR_SOCKET', 'ERR_INVALID_ARG_TYPE']
const REFUSED = ['HPE_INVALID_STATUS', 'HTTPParserError HPE_INVALID_STATUS']

for (const [what, how, skip, expected, flags = []] of [
  ['with --frozen-intrinsics', 'intrinsics', !isNode, [...SERVED, ...REFUSED, 200], ['--frozen-intrinsics']],
  [
    'that freezes errors and other globals',
    'frozen',
    isBun && "Bun's own node:http does not load",
    [...SERVED, ...REFUSED, 200],
  ],
  // install() has no place to put anything.
  ["that freezes the runtime's modules", 'modules', false, [...SERVED, ...REFUSED, 'TypeError', 200]],
  ["that freezes the prototypes of the runtime's classes", 'prototypes', false, [...SERVED, ...REFUSED, 200]],
  ['whose Error.prepareStackTrace throws', 'stacks', false, [...SERVED, 200]],
]) {
  test(`a program ${what} works`, { skip, timeout: 60_000 }, async (scope) => {
    const peer = await scope.peer(answers)
    const { code, late, stderr, stdout } = await runScript('hardened', [how, peer.port], { flags })
    assert.ok(!late && code === 0, stderr)
    assert.deepStrictEqual(JSON.parse(stdout), expected)
  })
}
