'use strict'

// Which functions are the runtime's own is told by how they read: so on every runtime, and whoever has replaced one.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')

const genuine = require('../../lib/runtime/genuine')
const { test } = require('../support/suite')

const { isClientRequestReplaced, isGenuine, isLookupReplaced, isSecureContextReplaced, knowsClientRequest } = genuine
const { replacedConnecting } = genuine

/** Replaces a function for the time of `look`. */
function replacing(target, name, value, look) {
  const before = target[name]
  target[name] = value(before)
  try {
    look()
  } finally {
    target[name] = before
  }
}

test("this runtime's own functions are known", async () => {
  for (const module of [http, https]) {
    assert.ok(isGenuine('request', module.request))
    assert.ok(isGenuine('get', module.get))
  }
  const { createConnection, createSocket } = http.Agent.prototype
  assert.ok(isGenuine('agentConnection', createConnection))
  assert.ok(isGenuine('secureAgentConnection', https.Agent.prototype.createConnection))
  for (const method of [createSocket, https.Agent.prototype.createSocket]) assert.ok(isGenuine('agentSocket', method))
  assert.ok(!isSecureContextReplaced())
  assert.ok(isGenuine('fetch', globalThis.fetch))
  assert.ok(knowsClientRequest)
  assert.strictEqual(genuine.ClientRequest, http.ClientRequest)
  assert.ok(!isClientRequestReplaced())
  assert.strictEqual(replacedConnecting(), undefined)
  assert.ok(!isLookupReplaced())
})

test('wrappers, bound functions and proxies are not', async () => {
  const { get, request } = http
  for (const wrapper of [(...args) => request(...args), request.bind(http), new Proxy(request, {})]) {
    assert.ok(!isGenuine('request', wrapper))
  }
  for (const wrapper of [(...args) => get(...args), get.bind(http), new Proxy(get, {})]) {
    assert.ok(!isGenuine('get', wrapper))
  }
})

test('who replaces what connects sockets is noticed, and so is that it is undone', async () => {
  const wrapped = (original) =>
    function wrapper(...args) {
      return original.apply(this, args)
    }
  for (const value of [wrapped, (original) => new Proxy(original, {}), (original) => original.bind(net)]) {
    replacing(net, 'connect', value, () => assert.strictEqual(replacedConnecting(), 'net.connect'))
    assert.strictEqual(replacedConnecting(), undefined)
    replacing(net.Socket.prototype, 'connect', value, () => {
      assert.strictEqual(replacedConnecting(), 'net.Socket.prototype.connect')
    })
    assert.strictEqual(replacedConnecting(), undefined)
  }
})

test('a wrapper that says what it wraps only looks on, unless there is a mock under it', async () => {
  const observing = (original) => Object.assign((...args) => original(...args), { __original: original })
  const marked = (original) => Object.assign((...args) => original(...args), { [Symbol('original')]: original })
  for (const value of [observing, marked, (original) => observing(marked(original))]) {
    replacing(net, 'connect', value, () => assert.strictEqual(replacedConnecting(), undefined))
  }
  const mocked = (original) => observing((...args) => original(...args))
  replacing(net, 'connect', mocked, () => assert.strictEqual(replacedConnecting(), 'net.connect'))
  const proxy = (original) => new Proxy(observing(original), {})
  replacing(net, 'connect', proxy, () => assert.strictEqual(replacedConnecting(), 'net.connect'))
})

test('a class of requests in place of the runtime’s is noticed, and ours is none', async (scope) => {
  const keepwire = require('../..')
  const { ClientRequest } = http
  scope.defer(() => {
    http.ClientRequest = ClientRequest
  })
  keepwire.install({ request: true })
  scope.defer(keepwire.uninstall)
  assert.notStrictEqual(http.ClientRequest, ClientRequest)
  assert.ok(!isClientRequestReplaced())
  http.ClientRequest = new Proxy(http.ClientRequest, {})
  assert.ok(isClientRequestReplaced())
})
