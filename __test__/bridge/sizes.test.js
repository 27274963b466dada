'use strict'

// Sizes beyond what travels in a record or a word: the request gets its response, or an error.

const assert = require('node:assert')

const { failure, send } = require('../support/client')
const { reply } = require('../support/peer')
const { testBoth } = require('../support/suite')

const KB = 1024

for (const [title, maxHeaderSize] of [
  ['1 MiB', KB * KB],
  ['2^32', 2 ** 32],
  ['2^32 + 1', 2 ** 32 + 1],
  ['2^53 - 1', Number.MAX_SAFE_INTEGER],
]) {
  testBoth(`a head larger than the buffer of records arrives whole: maxHeaderSize ${title}`, async (scope) => {
    const long = 'x'.repeat(300 * KB)
    const peer = await scope.peer((_, connection) => connection.write(reply('ok', [`X-Long: ${long}`])))
    const agent = scope.agent({ keepAlive: true })
    for (let i = 0; i < 3; i++) {
      const { body, headers } = await send({ port: peer.port, agent, maxHeaderSize })
      assert.strictEqual(headers['x-long'].length, long.length)
      assert.strictEqual(body, 'ok')
    }
    assert.strictEqual(peer.accepted, 1)
  })
}

testBoth('a head larger than maxHeaderSize is an error of its request alone', async (scope) => {
  const peer = await scope.peer((request, connection) => {
    const lines = request.target === '/long' ? [`X-Long: ${'x'.repeat(300 * KB)}`] : []
    connection.write(reply('ok', lines))
  })
  const agent = scope.agent({ keepAlive: true })
  const error = await failure(send({ port: peer.port, path: '/long', agent, maxHeaderSize: 200 * KB }))
  assert.strictEqual(error.code, 'HPE_HEADER_OVERFLOW')
  assert.strictEqual((await send({ port: peer.port, agent })).body, 'ok')
})
