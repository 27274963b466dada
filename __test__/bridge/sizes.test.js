'use strict'

// Sizes beyond what travels in a record or a word: the request gets its response, or an error.

const assert = require('node:assert')
const v8 = require('node:v8')
const vm = require('node:vm')

const { fetch } = require('../..')
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

testBoth(
  'more than 4 GiB can be read as a stream, and are a clear error to who reads them at once',
  {
    ours: 'has no fetch',
  },
  async (scope) => {
    const bytes = 5 * KB ** 3
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\nfirst`
    const peer = await scope.peer((_, connection) => connection.write(head))
    const agent = scope.agent({ keepAlive: true })
    const maxResponseSize = Number.POSITIVE_INFINITY
    const asked = () => fetch(`${scope.scheme}://127.0.0.1:${peer.port}/`, { agent, maxResponseSize })
    for (const method of ['arrayBuffer', 'text', 'json']) {
      const response = await asked()
      const error = await response[method]().then(
        () => undefined,
        ({ cause }) => cause,
      )
      assert.strictEqual(error?.code, 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE', method)
      assert.match(error.message, /more than 4294967295 bytes, the most that can be read at once/, method)
    }
    const reader = (await asked()).body.getReader()
    const { value } = await reader.read()
    assert.strictEqual(Buffer.from(value).toString(), 'first')
    await reader.cancel()
  },
)
