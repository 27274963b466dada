'use strict'

// Two copies of the package in one process, as two dependencies of a program bring them along: each works beside the other, and
// whatever the order in which they are installed and uninstalled, nothing of them is left in the runtime's modules.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')

const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')

const OK = (_, connection) => connection.write(reply('hello'))
const NAMES = ['Agent', 'globalAgent', 'request', 'get', 'ClientRequest']
const library = path.join(__dirname, '../../lib') + path.sep

function shown() {
  return [http, https].flatMap((module) => NAMES.map((name) => module[name]))
}
const theirs = shown()

/** A copy of its own: modules and state, over the same addon. */
function copy() {
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(library) && !file.endsWith('.node')) delete require.cache[file]
  }
  delete require.cache[require.resolve('../..')]
  return require('../..')
}

/** A request that names no agent, by whatever is in the runtime's place; its body. */
async function asked(port) {
  const { body } = await send({ port })
  return body
}

for (const options of [undefined, { request: true }]) {
  const what = options === undefined ? 'install()' : 'install({ request: true })'

  test(`${what} of two copies: requests are served, and whoever goes last puts the runtime's back`, async (scope) => {
    const peer = await scope.peer(OK)
    const [one, other] = [copy(), copy()]
    scope.defer(() => {
      for (const { http: ours } of [one, other]) ours.globalAgent.destroy()
    })
    assert.notStrictEqual(one.Agent, other.Agent)
    for (const [first, last] of [
      [one, other],
      [other, one],
    ]) {
      one.install(options)
      other.install(options)
      assert.strictEqual(http.Agent, other.Agent)
      assert.strictEqual(await asked(peer.port), 'hello')
      first.uninstall()
      assert.strictEqual(http.Agent, last.Agent)
      assert.strictEqual(await asked(peer.port), 'hello')
      last.uninstall()
      assert.deepStrictEqual(shown(), theirs)
    }
  })

  test(`a copy that is loaded after ${what} of another one has the runtime's agent below its own`, async (scope) => {
    const peer = await scope.peer(OK)
    const one = copy()
    scope.defer(one.uninstall)
    one.install(options)
    const other = copy()
    assert.strictEqual(Object.getPrototypeOf(other.Agent), theirs[0])
    const agents = [one, other].map(({ Agent }) => scope.adopt(new Agent({ keepAlive: true })))
    for (const agent of agents) {
      for (const reused of [false, true]) {
        const { body, request } = await send({ port: peer.port, agent })
        assert.deepStrictEqual([body, request.reusedSocket], ['hello', reused])
      }
    }
    one.http.globalAgent.destroy()
  })
}
