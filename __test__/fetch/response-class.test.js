'use strict'

// Node evaluates its fetch when somebody first looks at a class of it: loading keepwire does not, and what a fetch resolves with
// is the runtime's own Response all the same, whatever a program has put in its place by then.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { isNode, major } = require('../support/runtime')
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

const CLASSES = 'Response, Headers, Request, FormData'
const noFlag = (major < 18 || major > 22) && 'these versions of Node have no --no-experimental-fetch'

for (const [way, flags, skip] of [
  ['are deleted', [], !isNode && 'its own parts look for them'],
  ['are switched off', ['--no-experimental-fetch'], !isNode || noFlag],
]) {
  test(`where the classes of the runtime's fetch ${way}, an error says what is missing`, {
    ...OURS,
    skip,
  }, async () => {
    const { code, lines, stderr } = await runScript('fetch-classless', ['http://127.0.0.1:1/', 'nothing'], { flags })
    assert.strictEqual(code, 0, stderr)
    const asked = lines.map((line) => Object.keys(line)[0])
    assert.deepStrictEqual(asked, ['text', 'headers', 'post', 'defaults', 'data', 'install'])
    for (const { message, ...told } of lines) {
      assert.deepStrictEqual(Object.values(told), ['ERR_INVALID_STATE'])
      assert.match(message, told.install === undefined ? new RegExp(`needs ${CLASSES}`) : /this process has none/)
    }
  })

  const needs20 = skip || (major < 20 && 'undici needs a newer Node')
  test(`where the classes of the runtime's fetch ${way}, those of undici do`, {
    ...OURS,
    skip: needs20,
  }, async (scope) => {
    const { port } = await scope.peer((_, connection) => connection.write(ANSWER))
    const { code, lines, stderr } = await runScript('fetch-classless', [`http://127.0.0.1:${port}/`, 'undici'], {
      flags,
    })
    assert.strictEqual(code, 0, stderr)
    const { message, ...told } = Object.assign({}, ...lines.slice(0, -1))
    const nobodys = 'ERR_INVALID_STATE'
    assert.deepStrictEqual(told, { text: 'hello', headers: 'a/b', post: 'hello', defaults: 'hello', data: nobodys })
    assert.match(message, /only the runtime's own fetch/)
  })
}
