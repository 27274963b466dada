'use strict'

// Popular clients with our agent: 20 sequential and 20 parallel requests each, with the right bodies, on never more
// connections than with the runtime's own agent.

const assert = require('node:assert')
const http = require('node:http')

const { reply } = require('./support/peer')
const { isBun, isDeno, isNode, major } = require('./support/runtime')
const { test } = require('./support/suite')
const { once, turns, until } = require('./support/wait')

const OPTIONS = { keepAlive: true, maxSockets: 5 }
const ROUNDS = 20

/** Each client: `load()` gives `get(url, agent)` → body; some of them send a POST with `post(url, agent, text)` too. */
const clients = {
  axios: {
    async load() {
      const axios = require('axios')
      const settings = (agent) => ({
        httpAgent: agent,
        proxy: false,
        adapter: 'http',
        responseType: 'text',
        transformResponse: (text) => text,
      })
      return {
        get: async (url, agent) => (await axios.get(url, settings(agent))).data,
        post: async (url, agent, text) => (await axios.post(url, text, settings(agent))).data,
      }
    },
  },
  got: {
    skip: isNode && major < 22 && 'got 16 needs Node 22',
    async load() {
      const { default: got } = await import('got')
      const settings = (agent) => ({ agent: { http: agent }, retry: { limit: 0 } })
      return {
        get: (url, agent) => got(url, settings(agent)).text(),
        post: (url, agent, text) => got.post(url, { ...settings(agent), body: text }).text(),
      }
    },
  },
  'node-fetch': {
    skip: isBun && 'the runtime replaces node-fetch, and its own takes no agent',
    async load() {
      const { default: fetch } = await import('node-fetch')
      return {
        get: async (url, agent) => (await fetch(url, { agent })).text(),
        post: async (url, agent, text) => (await fetch(url, { agent, method: 'POST', body: text })).text(),
      }
    },
  },
  superagent: {
    async load() {
      const superagent = require('superagent')
      return {
        get: async (url, agent) => (await superagent.get(url).agent(agent).buffer(true)).text,
        post: async (url, agent, text) =>
          (await superagent.post(url).agent(agent).type('text/plain').send(text).buffer(true)).text,
      }
    },
  },
  'follow-redirects': {
    async load() {
      const { http: following } = require('follow-redirects')
      const send = (method) => (url, agent, text) =>
        new Promise((resolve, reject) => {
          const request = following.request(url, { agent, method }, (response) => {
            let body = ''
            response.on('data', (chunk) => (body += chunk))
            response.on('end', () => resolve(body))
            response.on('error', reject)
          })
          request.on('error', reject)
          request.end(text)
        })
      return { get: send('GET'), post: send('POST'), redirects: true }
    },
  },
  '@smithy/node-http-handler': {
    async load() {
      const { NodeHttpHandler } = require('@smithy/node-http-handler')
      const handlers = new Map()
      const send = (method) => async (url, agent, text) => {
        if (!handlers.has(agent)) handlers.set(agent, new NodeHttpHandler({ httpAgent: agent }))
        const { hostname, port, pathname } = new URL(url)
        const headers = text === undefined ? {} : { 'content-length': String(text.length) }
        const { response } = await handlers.get(agent).handle({
          protocol: 'http:',
          hostname,
          port: Number(port),
          path: pathname,
          method,
          headers,
          query: {},
          body: text,
        })
        let body = ''
        for await (const chunk of response.body) body += chunk
        return body
      }
      return { get: send('GET'), post: send('POST') }
    },
  },
}

for (const [name, client] of Object.entries(clients)) {
  test(`${name}: 20 sequential and 20 parallel requests, on no more connections than with the runtime's own agent`, {
    skip: client.skip || false,
    // On Deno got opens the standard streams once more.
    leaks: !(isDeno && name === 'got'),
  }, async (scope) => {
    const api = await client.load()
    const use = async (agent) => {
      const peer = await scope.peer((request, connection) => {
        const [, hop] = /^\/redirect\/(.*)/.exec(request.target) || []
        if (hop)
          return connection.write(reply('', ['Content-Type: text/plain', `Location: /${hop}`], 'HTTP/1.1 302 Found'))
        const body = `${request.method} ${request.target} ${request.body}`
        setImmediate(() => connection.write(reply(body, ['Content-Type: text/plain'])))
      })
      const url = (path) => `http://127.0.0.1:${peer.port}${path}`
      for (let i = 0; i < ROUNDS; i++) {
        assert.strictEqual(await api.get(url(`/s${i}`), agent), `GET /s${i} `)
      }
      const sequential = peer.accepted
      await Promise.all(
        Array.from({ length: ROUNDS }, async (_, i) => {
          assert.strictEqual(await api.get(url(`/p${i}`), agent), `GET /p${i} `)
        }),
      )
      for (let i = 0; i < ROUNDS; i++) {
        assert.strictEqual(await api.post(url(`/b${i}`), agent, `body ${i}`), `POST /b${i} body ${i}`)
      }
      if (api.redirects) assert.strictEqual(await api.get(url('/redirect/there'), agent), 'GET /there ')
      return { sequential, all: peer.accepted }
    }
    const theirs = await use(scope.runtimeAgent(OPTIONS))
    const ours = await use(scope.agent(OPTIONS))
    assert.ok(
      ours.sequential <= theirs.sequential,
      `sequential: ${ours.sequential} connections, the runtime's ${theirs.sequential}`,
    )
    assert.ok(ours.all <= theirs.all, `in all: ${ours.all} connections, the runtime's ${theirs.all}`)
  })
}

test('ws: 20 sequential and 20 parallel WebSockets', {
  skip: isBun && 'the runtime replaces ws, and its own takes no agent',
}, async (scope) => {
  const WebSocket = require('ws')
  const use = async (agent) => {
    const server = http.createServer()
    const sockets = new WebSocket.Server({ server })
    let connections = 0
    server.on('connection', () => connections++)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(`echo ${message}`)))
    const talk = async (text) => {
      const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`, { agent })
      await once(client, 'open')
      client.send(text)
      const [message] = await once(client, 'message')
      assert.strictEqual(String(message), `echo ${text}`)
      client.close()
      await once(client, 'close')
    }
    for (let i = 0; i < ROUNDS; i++) await talk(`s${i}`)
    await Promise.all(Array.from({ length: ROUNDS }, (_, i) => talk(`p${i}`)))
    sockets.close()
    await new Promise((resolve) => server.close(resolve))
    await turns(2)
    await until(() => agent.totalSocketCount === 0)
    return connections
  }
  const theirs = await use(scope.runtimeAgent(OPTIONS))
  assert.ok((await use(scope.agent(OPTIONS))) <= theirs)
})
