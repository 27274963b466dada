'use strict'

// install() and keepwire/register: the runtime's own modules have our agents, in CommonJS and in ES modules, and
// uninstall() leaves no trace.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')

const keepwire = require('../..')
const { isDeno, isNode, major } = require('../support/runtime')
const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { runProgram } = require('./program')

const OK = (_, connection) => connection.write(reply('hello'))
/** Node 18's global agent keeps no connection, and so neither does ours there. */
const keepsByDefault = !isNode || major > 18
const NAMES = ['Agent', 'globalAgent', 'request', 'get', 'ClientRequest']
const runtime = Object.fromEntries(NAMES.map((name) => [name, http[name]]))

function isRuntimes() {
  return NAMES.every((name) => http[name] === runtime[name])
}

test("install() replaces the agents, uninstall() puts the runtime's back", async (scope) => {
  scope.defer(keepwire.uninstall)
  keepwire.install()
  assert.strictEqual(http.Agent, keepwire.Agent)
  assert.strictEqual(http.globalAgent, keepwire.http.globalAgent)
  keepwire.uninstall()
  assert.ok(isRuntimes())
  keepwire.uninstall()
  assert.ok(isRuntimes())
})

test('install({ request: true }) replaces request, get and ClientRequest as well, also after install()', async (scope) => {
  scope.defer(keepwire.uninstall)
  keepwire.install()
  keepwire.install({ request: true })
  keepwire.install()
  for (const name of ['Agent', 'globalAgent']) assert.strictEqual(http[name], keepwire.http[name], name)
  for (const name of ['request', 'get', 'ClientRequest']) assert.notStrictEqual(http[name], runtime[name], name)
  const installed = NAMES.map((name) => http[name])
  keepwire.install({ request: true })
  assert.deepStrictEqual(
    NAMES.map((name) => http[name]),
    installed,
  )
  keepwire.uninstall()
  assert.ok(isRuntimes())
})

for (const request of [false, true]) {
  test(`whoever sets http.globalAgent is heeded, request: ${request}`, async (scope) => {
    const peer = await scope.peer(OK)
    const agent = scope.agent({ keepAlive: true })
    keepwire.install({ request })
    const { globalAgent } = http
    scope.defer(() => {
      http.globalAgent = globalAgent
      keepwire.uninstall()
    })
    http.globalAgent = agent
    const target = { host: '127.0.0.1', port: peer.port }
    await new Promise((resolve, reject) => {
      http.get(target, (response) => response.resume().on('end', resolve)).on('error', reject)
    })
    assert.strictEqual(agent.stats().origins[agent.getName(target)].created, 1)
  })

  test(`requests that name no agent share the connection of our globalAgent, request: ${request}`, async (scope) => {
    scope.defer(() => {
      http.globalAgent.destroy()
      keepwire.uninstall()
    })
    const peer = await scope.peer(OK)
    keepwire.install({ request })
    for (let i = 0; i < 3; i++) {
      const answer = await send({ port: peer.port })
      assert.strictEqual(answer.body, 'hello')
      assert.strictEqual(answer.request.agent, keepwire.http.globalAgent)
      assert.ok(answer.request instanceof http.ClientRequest)
    }
    assert.strictEqual(peer.accepted, keepsByDefault ? 1 : 3)
  })
}

test('what somebody else put in our place is left alone, and still reaches the server', async (scope) => {
  const peer = await scope.peer(OK)
  scope.defer(() => {
    http.request = runtime.request
    keepwire.http.globalAgent.destroy()
    keepwire.uninstall()
  })
  keepwire.install({ request: true })
  let calls = 0
  const installed = http.request
  const wrapper = (...args) => {
    calls += 1
    return installed(...args)
  }
  http.request = wrapper
  keepwire.uninstall()
  assert.strictEqual(http.request, wrapper)
  assert.strictEqual(http.get, runtime.get)
  assert.strictEqual((await send({ port: peer.port })).body, 'hello')
  assert.strictEqual(calls, 1)
  // Ours, of which the wrapper is made, does not go around in circles.
  const answer = await new Promise((resolve, reject) => {
    keepwire.http.get({ host: '127.0.0.1', port: peer.port }, resolve).on('error', reject)
  })
  answer.resume()
  await new Promise((resolve) => answer.on('end', resolve))
  assert.strictEqual(calls, 1)
})

test('what somebody has put in place of a request as a getter makes way, and is back afterwards', async (scope) => {
  const before = Object.getOwnPropertyDescriptor(http, 'get')
  let asked = 0
  const theirs = (...args) => {
    asked += 1
    return before.value(...args)
  }
  const getter = { get: () => theirs, enumerable: true, configurable: true }
  Object.defineProperty(http, 'get', getter)
  scope.defer(() => Object.defineProperty(http, 'get', before))
  const { port } = await scope.peer((_request, connection) => connection.write(reply('ok')))
  keepwire.install({ request: true })
  try {
    assert.notStrictEqual(http.get, theirs)
    const response = await new Promise((resolve, reject) => {
      http.get({ host: '127.0.0.1', port }, resolve).on('error', reject)
    })
    response.resume()
    await new Promise((resolve) => response.once('end', resolve))
    assert.strictEqual(asked, 1)
  } finally {
    keepwire.uninstall()
    keepwire.http.globalAgent.destroy()
  }
  assert.deepStrictEqual(Object.getOwnPropertyDescriptor(http, 'get'), { ...getter, set: undefined })
})

test("classes made from the runtime's agents before install() still work", async (scope) => {
  const RuntimeAgent = http.Agent
  class Modern extends RuntimeAgent {}
  const Old = function Old(options) {
    RuntimeAgent.call(this, options)
  }
  Object.setPrototypeOf(Old.prototype, RuntimeAgent.prototype)
  const Late = function Late(options) {
    http.Agent.call(this, options)
  }
  Object.setPrototypeOf(Late.prototype, RuntimeAgent.prototype)
  scope.defer(keepwire.uninstall)
  const peer = await scope.peer(OK)
  keepwire.install()
  for (const Class of [Modern, Old, Late]) {
    const agent = scope.adopt(new Class({ keepAlive: true }))
    assert.ok(!(agent instanceof keepwire.Agent), Class.name)
    assert.strictEqual(agent.keepAlive, true)
    assert.strictEqual((await send({ port: peer.port, agent })).body, 'hello')
  }
  assert.strictEqual(new https.Agent().defaultPort, 443)
})

test('classes made from http.Agent after install() are ours', async (scope) => {
  scope.defer(keepwire.uninstall)
  const peer = await scope.peer(OK)
  keepwire.install()
  class Modern extends http.Agent {}
  const agent = scope.adopt(new Modern({ keepAlive: true }))
  assert.ok(agent instanceof keepwire.Agent)
  for (let i = 0; i < 2; i++) assert.strictEqual((await send({ port: peer.port, agent })).body, 'hello')
  assert.strictEqual(peer.accepted, 1)
})

test('after keepwire/register, ES modules import our agents', async () => {
  const names = await runProgram('names.mjs', { register: true })
  const agents = { defaultAgent: true, globalAgent: true, defaultGlobalAgent: true }
  // Deno's ES modules keep the runtime's own Agent, and see the change of globalAgent.
  assert.deepStrictEqual(names, {
    Agent: !isDeno,
    bareAgent: !isDeno,
    ...agents,
    request: false,
    get: false,
    defaultRequest: false,
  })
})

test('node --import keepwire/register does the same', { skip: !isNode && 'a flag of Node' }, async () => {
  const names = await runProgram('names.mjs', { register: ['--import'] })
  assert.deepStrictEqual([names.Agent, names.bareAgent, names.globalAgent], [true, true, true])
})

test('after keepwire/register, a program that knows nothing of keepwire is carried by it', async () => {
  const { bodies, connections, engine } = await runProgram('requests.js', { register: true })
  const carried = keepsByDefault ? [1, 'EngineSocket'] : [3, null]
  assert.deepStrictEqual([bodies, connections, engine], [['works', 'works', 'works'], ...carried])
})

test('without keepwire/register, the same program is not', async () => {
  const { engine } = await runProgram('requests.js')
  assert.notStrictEqual(engine, 'EngineSocket')
})
