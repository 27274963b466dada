'use strict'

// Popular clients over TLS with our agent: 20 requests one after another on one connection, and an untrusted certificate
// refused by default with the code that the client reports for the runtime's own agent.

const assert = require('node:assert')
const https = require('node:https')

const { makeAuthority } = require('../support/authority')
const { SecureAgent, secureServer } = require('../support/secure')
const { isBun, isDeno, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const authorities = makeAuthority()

/** Suites that the engine does not have. */
const CBC = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }

/** Each client: `load()` gives `get(url, agent)` → body. */
const clients = {
  axios: {
    async load() {
      const axios = require('axios')
      return async (url, httpsAgent) => {
        const { data } = await axios.get(url, { httpsAgent, proxy: false, adapter: 'http', responseType: 'text' })
        return data
      }
    },
  },
  got: {
    skip: isNode && major < 22 && 'got 16 needs Node 22',
    async load() {
      const { default: got } = await import('got')
      return (url, agent) => got(url, { agent: { https: agent }, retry: { limit: 0 } }).text()
    },
  },
  'node-fetch': {
    skip: isBun && 'the runtime replaces node-fetch, and its own takes no agent',
    async load() {
      const { default: fetch } = await import('node-fetch')
      return async (url, agent) => (await fetch(url, { agent })).text()
    },
  },
  superagent: {
    async load() {
      const superagent = require('superagent')
      return async (url, agent) => (await superagent.get(url).agent(agent).buffer(true)).text
    },
  },
  'follow-redirects': {
    async load() {
      const following = require('follow-redirects').https
      return (url, agent) =>
        new Promise((resolve, reject) => {
          const request = following.get(url, { agent }, (response) => {
            let body = ''
            response.on('data', (chunk) => (body += chunk))
            response.on('end', () => resolve(body))
          })
          request.on('error', reject)
        })
    },
  },
}

for (const [name, { load, skip }] of Object.entries(clients)) {
  test(`${name}: 20 requests over TLS take one handshake`, { skip }, async (scope) => {
    const [get, { root, server }] = [await load(), await authorities]
    const served = await secureServer(scope, server, {}, (_request, response) => {
      response.setHeader('Content-Type', 'text/plain')
      response.end('hello')
    })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, maxSockets: 5 }))
    for (let i = 0; i < 20; i++) assert.strictEqual(await get(`https://localhost:${served.port}/`, agent), 'hello')
    assert.strictEqual(served.connections, 1)
  })

  test(`${name}: a server that only the runtime's TLS gets on with answers each request`, {
    skip: skip || (isDeno && 'its TLS is the same'),
  }, async (scope) => {
    const [get, { root, server }] = [await load(), await authorities]
    const served = await secureServer(scope, server, CBC, (_request, response) => {
      response.setHeader('Content-Type', 'text/plain')
      response.end('hello')
    })
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, maxSockets: 5 }))
    const url = `https://localhost:${served.port}/`
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(url, agent)))
    assert.deepStrictEqual([...answers, await get(url, agent)], Array(11).fill('hello'))
  })

  test(`${name}: an untrusted certificate is refused with the runtime's own code`, { skip }, async (scope) => {
    const [get, { server }] = [await load(), await authorities]
    const { port } = await secureServer(scope, server)
    const attempt = async (Agent) => {
      const agent = scope.adopt(new Agent())
      try {
        return await get(`https://localhost:${port}/`, agent)
      } catch (error) {
        return error.code ?? error.cause?.code
      }
    }
    const ours = await attempt(SecureAgent)
    assert.strictEqual(ours, await attempt(https.Agent))
    assert.strictEqual(ours, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  })
}

const wsSkip = (isBun && 'the runtime replaces ws') || (isDeno && 'its upgrades go past agents')

test("ws: a WebSocket over TLS falls back to the runtime's sockets", { skip: wsSkip }, async (scope) => {
  const { WebSocket, WebSocketServer } = require('ws')
  const { root, server } = await authorities
  const served = await secureServer(scope, server)
  const accepting = new WebSocketServer({ server: served.server })
  accepting.on('connection', (socket) => socket.on('message', (text) => socket.send(`${text}!`)))
  scope.defer(() => new Promise((resolve) => accepting.close(resolve)))
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
  const client = new WebSocket(`wss://localhost:${served.port}/`, { agent })
  await new Promise((resolve, reject) => client.on('open', resolve).on('error', reject))
  client.send('hello')
  const answer = await new Promise((resolve) => client.on('message', (text) => resolve(String(text))))
  assert.strictEqual(answer, 'hello!')
  client.terminate()
})
