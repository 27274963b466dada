'use strict'

// Places that agents with `shared: true` lend each other, also in other threads: idle ones go to whoever needs one, and what befalls
// one agent befalls no other.

const assert = require('node:assert')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

const { authority, http2Agent, http2Server, outcome } = require('../support/http2')
const { test } = require('../support/suite')
const { once, until } = require('../support/wait')

const SHARED = { shared: true }
const ok = (_request, response) => response.end('ok')

test('agents that share use the places of one connection in turn', async (scope) => {
  const served = await http2Server(scope, { onRequest: ok })
  const [one, other] = [await http2Agent(scope, SHARED), await http2Agent(scope, SHARED)]
  assert.strictEqual((await outcome({ port: served.port, agent: one })).body, 'ok')
  for (let at = 0; at < 20; at++) {
    const agent = at % 2 === 0 ? other : one
    const { body, reused, socket } = await outcome({ port: served.port, agent, method: 'POST' }, { body: 'x' })
    assert.deepStrictEqual([body, reused, socket.alpnProtocol], ['ok', true, 'h2'])
    await until(() => (agent === one ? other : one).totalSocketCount === 0)
  }
  assert.strictEqual(served.connections, 1)
})

test('the end of an agent does not touch the places that it has lent, nor does that of a place', async (scope) => {
  const held = []
  const onRequest = (request, response) => (request.url === '/held' ? held.push(response) : response.end('ok'))
  const served = await http2Server(scope, { onRequest })
  const [one, other] = [await http2Agent(scope, SHARED), await http2Agent(scope, SHARED)]
  const options = { port: served.port }
  // Two idle places of one session.
  await Promise.all([outcome({ ...options, agent: one }), outcome({ ...options, agent: one })])
  const requests = []
  const use = (request) => requests.push(request.end())
  const [cut, kept] = Array.from({ length: 2 }, () => outcome({ ...options, agent: other, path: '/held' }, { use }))
  await until(() => held.length === 2)
  assert.strictEqual(served.connections, 1)
  one.destroy()
  requests[0].destroy()
  assert.strictEqual((await cut).error.code, 'ECONNRESET')
  for (const response of held) response.end('mine')
  assert.strictEqual((await kept).body, 'mine')
})

test('places go from thread to thread, and stay when a thread ends', async (scope) => {
  const served = await http2Server(scope, { onRequest: ok })
  const { root } = await authority
  const agent = await http2Agent(scope, SHARED)
  const here = () => outcome({ port: served.port, agent })
  assert.strictEqual((await here()).body, 'ok')
  const program = `
    const { parentPort } = require('node:worker_threads')
    const { HttpsAgent } = require(${JSON.stringify(path.resolve(__dirname, '../..'))})
    const agent = new HttpsAgent({ keepAlive: true, shared: true, http2: true, ca: ${JSON.stringify(root.pem)} })
    parentPort.on('message', (message) => {
      if (message === 'end') return process.exit()
      const options = { host: 'localhost', family: 4, port: ${served.port}, agent }
      const request = require('node:https').get(options, (response) => {
        response.resume().on('end', () => parentPort.postMessage([response.httpVersion, request.reusedSocket]))
      })
      request.on('error', (error) => parentPort.postMessage(error.code))
    })`
  const worker = new Worker(program, { eval: true })
  const there = async () => {
    worker.postMessage('ask')
    return (await once(worker, 'message'))[0]
  }
  for (let at = 0; at < 5; at++) {
    assert.deepStrictEqual(await there(), ['2.0', true])
    const { body, reused } = await here()
    assert.deepStrictEqual([body, reused], ['ok', true])
  }
  assert.strictEqual(served.connections, 1)
  // It ends with the place in its hands.
  await there()
  worker.postMessage('end')
  await once(worker, 'exit')
  assert.strictEqual((await here()).body, 'ok')
})
