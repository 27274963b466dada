'use strict'

// Node evaluates its fetch when somebody first looks at a class of it: loading keepwire does not, and what a fetch resolves with
// is the runtime's own Response all the same, whatever a program has put in its place by then.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { test } = require('../support/suite')

const OURS = { ours: 'is about the responses of our fetch' }

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello'

for (const how of ['nothing', 'assigned', 'defined', 'extended', 'with Headers']) {
  const title =
    how === 'nothing' ? 'loading keepwire leaves the fetch of Node unevaluated' : `Response ${how} by a program`
  test(`${title}: a fetch resolves with the runtime's own Response`, OURS, async (scope) => {
    const { port } = await scope.peer((_, connection) => connection.write(ANSWER))
    const { lines, stderr } = await runScript('fetch-replaced', [`http://127.0.0.1:${port}/`, how])
    assert.deepStrictEqual(
      lines,
      [
        {
          undiciAtLoad: false,
          isLeftAlone: true,
          bodies: ['hello', 'hello', 'hello'],
          isOwn: true,
          hasOwnHeaders: true,
          type: 'a/b',
        },
      ],
      stderr,
    )
  })
}
