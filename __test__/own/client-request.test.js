'use strict'

// keepwire.http.ClientRequest is the class of our requests and of the runtime's: made with `new`, it is what request()
// gives; subclassed in either way, it is the runtime's with our agent.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')

const keepwire = require('../..')
const { read } = require('../support/client')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { once, turns } = require('../support/wait')

const { ClientRequest } = keepwire.http
const OK = (request, connection) => connection.write(reply(`${request.method} ${request.target}`))

/** Has our globalAgent start afresh for the test. */
function withGlobalAgent(scope) {
  const usual = keepwire.http.globalAgent
  scope.defer(() => {
    keepwire.http.globalAgent = usual
  })
  keepwire.http.globalAgent = scope.agent({ keepAlive: true })
  return keepwire.http.globalAgent
}

/** As libraries did before there was `class`. */
function Old(...args) {
  ClientRequest.call(this, ...args)
}
Object.setPrototypeOf(Old.prototype, ClientRequest.prototype)

class Modern extends ClientRequest {
  answer() {
    return 42
  }
}

for (const Class of [ClientRequest, Old, Modern]) {
  test(`new ${Class.name}(…) takes what request() takes, and our globalAgent`, async (scope) => {
    const peer = await scope.peer(OK)
    const agent = withGlobalAgent(scope)
    const address = `http://127.0.0.1:${peer.port}/a`
    const made = [
      [{ host: '127.0.0.1', port: peer.port, path: '/b', method: 'PUT' }],
      [address],
      [new URL(address)],
      [address, { method: 'DELETE' }],
    ]
    const bodies = []
    for (const args of made) {
      const answered = new Promise((resolve) => {
        const request = new Class(...args, (response) => resolve(response.req))
        assert.ok(request instanceof Class)
        assert.ok(request instanceof ClientRequest && request instanceof http.ClientRequest)
        assert.strictEqual(request.agent, agent)
        bodies.push(read(request).then(({ body }) => body))
        request.end()
      })
      await answered
      await bodies.at(-1)
      await turns(3)
    }
    assert.deepStrictEqual(await Promise.all(bodies), ['PUT /b', 'GET /a', 'GET /a', 'DELETE /a'])
    assert.strictEqual(peer.accepted, 1)
  })
}

test('requests of every kind are instances of it, and subclasses keep their own members', async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  const options = { host: '127.0.0.1', port: peer.port, agent }
  await read(keepwire.http.get(options))
  await turns(3)
  for (const make of [keepwire.http.request, http.request, (options) => new Modern(options)]) {
    const request = make(options).end()
    assert.ok(request instanceof ClientRequest)
    await read(request)
    await turns(3)
  }
  assert.strictEqual(
    new Modern(options)
      .on('error', () => {})
      .destroy()
      .answer(),
    42,
  )
  assert.ok(!({} instanceof ClientRequest))
})

test('with an agent of the runtime, of ours or none, it uses that', async (scope) => {
  const peer = await scope.peer(OK)
  for (const agent of [scope.runtimeAgent({ keepAlive: true }), scope.agent({ keepAlive: true }), false]) {
    for (const Class of [ClientRequest, Modern]) {
      const request = new Class({ host: '127.0.0.1', port: peer.port, agent })
      if (agent) assert.strictEqual(request.agent, agent)
      else assert.notStrictEqual(request.agent, keepwire.http.globalAgent)
      assert.strictEqual((await read(request.end())).body, 'GET /')
    }
  }
})

test("what options cannot be is the runtime's to say", async () => {
  for (const options of [{ path: '/a b' }, { method: 'GE T' }, { protocol: 'https:' }]) {
    const thrown = [http.ClientRequest, ClientRequest, Modern].map((Class) => {
      try {
        new Class(options)
      } catch (error) {
        return `${error.name} ${error.code} ${error.message}`
      }
      return 'nothing'
    })
    assert.notStrictEqual(thrown[0], 'nothing')
    assert.deepStrictEqual(thrown.slice(1), [thrown[0], thrown[0]])
  }
})

test('a default agent that is named takes its protocol and the place of our globalAgent, as http2-wrapper asks', async (scope) => {
  for (const _defaultAgent of [https.globalAgent, scope.agent({ keepAlive: true })]) {
    for (const args of [
      [{ host: '127.0.0.1', port: 1, _defaultAgent }],
      [`${_defaultAgent.protocol}//127.0.0.1:1/`, { _defaultAgent }],
    ]) {
      for (const make of [() => new ClientRequest(...args), () => keepwire.http.request(...args)]) {
        const request = make()
        assert.strictEqual(request.agent, _defaultAgent)
        assert.strictEqual(request.protocol, _defaultAgent.protocol)
        request.end()
        const [error] = await once(request, 'error')
        assert.strictEqual(error.code, 'ECONNREFUSED')
      }
    }
  }
})
