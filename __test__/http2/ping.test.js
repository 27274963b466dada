'use strict'

// Sessions whose server is gone without a word: what has been silent for long is asked with a PING (RFC 9113, section 6.7)
// before it gets what may not be sent twice.

const assert = require('node:assert')

const frames = require('../support/frames')
const { http2Agent, outcome } = require('../support/http2')
const { test } = require('../support/suite')
const { delay } = require('../support/wait')

const { ACK, answer, DATA, endsRequest, frameServer, HEADERS, PING } = frames

/** Answers, and notes what each connection has heard. */
async function answering(scope) {
  const heard = []
  const peers = []
  const served = await frameServer(scope, (peer, received) => {
    peers[peer.number] = peer
    const { type, flags } = received
    if (type === PING && (flags & ACK) === 0) heard.push(`ping ${peer.number}`)
    if (type === HEADERS || type === DATA) heard.push(`request ${peer.number}`)
    if (endsRequest(received)) peer.send(answer(received.stream, `by ${peer.number}`))
  })
  return { port: served.port, heard, peers }
}

const silence = () => delay(10)

test('a POST waits for the answer to a PING, a GET does not, and neither asks a server that has just been heard', async (scope) => {
  const { port, heard } = await answering(scope)
  const agent = await http2Agent(scope, { pingAfter: 5 })
  const options = { port, agent }
  await outcome(options)
  await silence()
  heard.length = 0
  assert.strictEqual((await outcome({ ...options, method: 'POST' }, { body: 'x' })).body, 'by 1')
  assert.deepStrictEqual(heard.slice(0, 2), ['ping 1', 'request 1'])
  await silence()
  heard.length = 0
  assert.strictEqual((await outcome(options)).body, 'by 1')
  assert.deepStrictEqual(heard.sort(), ['ping 1', 'request 1'])

  const patient = await http2Agent(scope)
  heard.length = 0
  for (const method of ['GET', 'POST', 'POST']) await outcome({ port, agent: patient, method })
  assert.deepStrictEqual(new Set(heard), new Set(['request 2']))
})

test('a session that is silent gets no POST, and a GET once more elsewhere', async (scope) => {
  for (const [how, first] of [
    [{ method: 'POST' }, []],
    [{ method: 'GET' }, ['request 1']],
  ]) {
    const { port, heard, peers } = await answering(scope)
    const agent = await http2Agent(scope, { pingAfter: 5 })
    const options = { port, agent, ...how }
    await outcome({ port, agent })
    await silence()
    heard.length = 0
    // It hears all that comes, and says nothing.
    const { socket } = peers[1]
    const said = []
    const { write } = socket
    socket.write = (bytes) => said.push(bytes)
    const { body, error } = await outcome(options)
    assert.strictEqual(error?.code ?? body, 'by 2')
    assert.deepStrictEqual(
      heard.filter((what) => what.startsWith('request')),
      [...first, 'request 2'],
    )
    assert.ok(said.length > 0)
    socket.write = write
    const [{ retried }] = Object.values(agent.stats().origins)
    assert.strictEqual(retried, first.length)
  }
})

test('with retry: false a GET waits as a POST does, and with pingAfter: 0 nobody asks', async (scope) => {
  const { port, heard } = await answering(scope)
  for (const [options, expected] of [
    [{ pingAfter: 5, retry: false }, ['ping', 'request']],
    [{ pingAfter: 0 }, ['request']],
    [{ pingAfter: Infinity }, ['request']],
  ]) {
    const agent = await http2Agent(scope, options)
    await outcome({ port, agent })
    await silence()
    heard.length = 0
    await outcome({ port, agent })
    assert.deepStrictEqual(
      heard.map((what) => what.split(' ')[0]),
      expected,
    )
  }
})

test('a request that a deadline ends has its silent session be asked', async (scope) => {
  const { port, heard, peers } = await answering(scope)
  const agent = await http2Agent(scope, { headersTimeout: 1_100 })
  await Promise.all([outcome({ port, agent }), outcome({ port, agent })])
  peers[1].isMute = true
  const { error } = await outcome({ port, agent })
  assert.strictEqual(error.code, 'ERR_KEEPWIRE_HEADERS_TIMEOUT')
  heard.length = 0
  assert.strictEqual((await outcome({ port, agent, method: 'POST' }, { body: 'x' })).body, 'by 2')
  assert.deepStrictEqual(new Set(heard), new Set(['request 2']))
})
