'use strict'

// Sizes beyond what travels in a record or a word: the request gets its response, or an error.

const assert = require('node:assert')
const v8 = require('node:v8')
const vm = require('node:vm')

const { failure, get, send } = require('../support/client')
const { reply } = require('../support/peer')
const { isNode } = require('../support/runtime')
const { testBoth } = require('../support/suite')
const { once, turns } = require('../support/wait')

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

testBoth(
  'a long head leaves nothing of its size behind',
  {
    skip: !isNode && 'nobody can ask this runtime to collect',
  },
  async (scope) => {
    const MB = KB * KB
    const peer = await scope.peer((_, connection) => connection.write(reply('ok', [`X-Long: ${'x'.repeat(8 * MB)}`])))
    const agent = scope.agent({ keepAlive: true })
    v8.setFlagsFromString('--expose-gc')
    const collect = vm.runInNewContext('gc')
    const held = async () => {
      for (let i = 0; i < 5; i += 1) {
        await turns(2)
        collect()
      }
      return process.memoryUsage().arrayBuffers
    }
    const before = await held()
    for (let i = 0; i < 3; i++) {
      const sent = get({ port: peer.port, agent, maxHeaderSize: 16 * MB })
      const [response] = await once(sent, 'response')
      assert.strictEqual(response.headers['x-long'].length, 8 * MB)
      await once(response.resume(), 'end')
    }
    // The next batch is read as any other.
    assert.strictEqual((await send({ port: peer.port, agent, maxHeaderSize: 16 * MB })).body, 'ok')
    const left = (await held()) - before
    assert.ok(left < 4 * MB, `${left} bytes`)
  },
)

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
