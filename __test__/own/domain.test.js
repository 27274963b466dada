'use strict'

// domain.add(request): what becomes of the request is the domain's to hear, whenever it was added.

const assert = require('node:assert')
const domain = require('node:domain')

const keepwire = require('../..')
const { reply } = require('../support/peer')
const { isBun } = require('../support/runtime')
const { test } = require('../support/suite')
const { once } = require('../support/wait')

const KEEP_ALIVE = { keepAlive: true }

/** A domain, and the first error that it hears of. */
function listening() {
  const one = domain.create()
  return [one, new Promise((resolve) => one.once('error', resolve))]
}

test('an error of a request that nobody else listens to', async (scope) => {
  const [one, heard] = listening()
  const request = keepwire.http.request({ host: '127.0.0.1', port: 1, agent: scope.agent(KEEP_ALIVE) })
  one.add(request)
  request.end()
  assert.strictEqual((await heard).code, 'ECONNREFUSED')
})

test('an error of a request that is dropped before it is ended', async (scope) => {
  const [one, heard] = listening()
  const request = keepwire.http.request({ host: '127.0.0.1', port: 1, agent: scope.agent(KEEP_ALIVE) })
  one.add(request)
  request.destroy()
  assert.strictEqual((await heard).code, 'ECONNRESET')
})

test('an error of a request that becomes more than a simple one in another domain', async (scope) => {
  const [one, heard] = listening()
  const request = keepwire.http.request({ host: '127.0.0.1', port: 1, agent: scope.agent(KEEP_ALIVE) })
  one.add(request)
  domain.create().run(() => request.setHeader('x-a', 'b'))
  request.end()
  assert.strictEqual((await heard).code, 'ECONNREFUSED')
})

const NO_EVENTS = isBun && "Bun's domains hear of errors alone"
test('the domain of a response that becomes more than a simple one', { skip: NO_EVENTS }, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('hello')))
  const one = domain.create()
  const agent = scope.agent(KEEP_ALIVE)
  const request = keepwire.http.get({ host: '127.0.0.1', port: peer.port, agent })
  const [response] = await once(request, 'response')
  one.add(response)
  response.setEncoding('utf8')
  const seen = await new Promise((resolve) => response.once('data', () => resolve(process.domain)))
  assert.ok(seen === one)
})
