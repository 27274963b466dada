'use strict'

// keepwire/http stands in for node:http: by require and by import, whole, and one and the same however it is reached.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')

const keepwire = require('../..')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { ignoresAgents } = require('../../lib/runtime/probes')
const { runProgram } = require('./program')

const OURS = ['Agent', 'ClientRequest', 'get', 'globalAgent', 'request']
const OK = (_, connection) => connection.write(reply('hello'))

test('require gives the stand-in, with every name of node:http', async () => {
  const standIn = require('keepwire/http')
  assert.strictEqual(standIn, keepwire.http)
  for (const name of Object.keys(http)) {
    if (OURS.includes(name)) assert.notStrictEqual(standIn[name], http[name], name)
    else assert.strictEqual(standIn[name], http[name], name)
  }
})

test('import finds the same things, by name and by default', async () => {
  assert.deepStrictEqual(await runProgram('stand-in.mjs'), {
    package: [],
    ours: [],
    isWhole: true,
    missing: [],
    same: [],
  })
})

test('a globalAgent that is assigned is used from then on', async (scope) => {
  const usual = keepwire.http.globalAgent
  scope.defer(() => {
    keepwire.http.globalAgent = usual
  })
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  keepwire.http.globalAgent = agent
  for (const call of [
    (done) => keepwire.http.get({ host: '127.0.0.1', port: peer.port }, done),
    (done) => keepwire.http.get(`http://127.0.0.1:${peer.port}/`, done),
    (done) => keepwire.http.get(new URL(`http://127.0.0.1:${peer.port}/`), {}, done),
  ]) {
    const response = await new Promise((resolve, reject) => call(resolve).on('error', reject))
    assert.strictEqual(response.req.agent, agent)
    response.resume()
    await new Promise((resolve) => response.on('end', resolve))
  }
  assert.strictEqual(peer.accepted, 1)
})

test("a globalAgent does by default what this runtime's own does", {
  skip: ignoresAgents && "this runtime's pool is not its globalAgent's",
}, () => {
  const NAMES = ['keepAlive', 'keepAliveMsecs', 'scheduling', 'maxSockets', 'maxTotalSockets', 'maxFreeSockets']
  const shown = ({ globalAgent }) => [
    NAMES.map((name) => globalAgent[name]),
    ['keepAlive', 'scheduling', 'timeout', 'noDelay'].map((name) => globalAgent.options[name]),
  ]
  assert.deepStrictEqual(shown(keepwire.http), shown(http))
  assert.deepStrictEqual(shown(keepwire.https), shown(https))
})

test('what the global agent of the runtime is told as a property holds for ours', async () => {
  const { answer } = await runProgram('global.js')
  assert.deepStrictEqual(answer, { keepAlive: true, scheduling: 'fifo', maxSockets: 7 })
})
