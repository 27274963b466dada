'use strict'

// Clients that know nothing of HTTP/2, over it.

const assert = require('node:assert')
const https = require('node:https')

const { authority, http2Agent, http2Server } = require('../support/http2')
const { isBun, isDeno, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')
const keepwire = require('../..')
const secureModule = require('../../lib/https')

/** `load()` gives `post(url, agent, text)` → body, following redirects. */
const clients = {
  axios: {
    async load() {
      const axios = require('axios')
      return async (url, httpsAgent, text) => {
        const { data } = await axios.post(url, text, {
          httpsAgent,
          proxy: false,
          adapter: 'http',
          responseType: 'text',
        })
        return data
      }
    },
  },
  'node-fetch': {
    skip: isBun && 'the runtime replaces node-fetch, and its own takes no agent',
    async load() {
      const { default: fetch } = await import('node-fetch')
      return async (url, agent, body) => (await fetch(url, { method: 'POST', agent, body })).text()
    },
  },
  superagent: {
    async load() {
      const superagent = require('superagent')
      return async (url, agent, body) =>
        (await superagent.post(url).redirects(2).agent(agent).type('text').send(body).buffer(true)).text
    },
  },
  got: {
    skip: isNode && major < 22 && 'got 16 needs Node 22',
    async load() {
      const { default: got } = await import('got')
      return async (url, https, body) => (await got.post(url, { agent: { https }, body, retry: { limit: 0 } })).body
    },
  },
  'follow-redirects': {
    async load() {
      const following = require('follow-redirects').https
      return (url, agent, text) =>
        new Promise((resolve, reject) => {
          const request = following.request(url, { method: 'POST', agent }, (response) => {
            let body = ''
            response.on('data', (chunk) => (body += chunk))
            response.on('end', () => resolve(body))
          })
          request.on('error', reject)
          request.end(text)
        })
    },
  },
  'keepwire/https': {
    async load() {
      return (url, agent, text) =>
        new Promise((resolve, reject) => {
          const request = secureModule.request(url, { method: 'POST', agent }, (response) => {
            let body = ''
            response.on('data', (chunk) => (body += chunk))
            response.on('end', () => resolve(body))
          })
          request.on('error', reject)
          request.end(text)
        })
    },
  },
  'keepwire.fetch': {
    async load() {
      return async (url, agent, body) =>
        (await keepwire.fetch(url, { method: 'POST', agent, body, duplex: 'half' })).text()
    },
  },
}

for (const [name, { load, skip }] of Object.entries(clients)) {
  test(`${name}: 30 POSTs at once go over one connection`, { skip }, async (scope) => {
    const served = await http2Server(scope, {
      onRequest(request, response) {
        let body = ''
        request.on('data', (chunk) => (body += chunk))
        request.on('end', () => response.end(`${request.httpVersion} ${request.method} ${body}`))
      },
    })
    const agent = await http2Agent(scope)
    const post = await load()
    const url = `https://localhost:${served.port}/`
    const texts = Array.from({ length: 30 }, (_, at) => `text ${at}`)
    const bodies = await Promise.all(texts.map((text) => post(url, agent, text)))
    assert.deepStrictEqual(
      bodies,
      texts.map((text) => `2.0 POST ${text}`),
    )
    assert.strictEqual(served.connections, 1)
  })
}

test('a process ends although its sessions are idle', { skip: isDeno && 'as the process tests' }, async (scope) => {
  const served = await http2Server(scope, { onRequest: (_request, response) => response.end('ok') })
  const { root } = await authority
  const { spawn } = require('node:child_process')
  const path = require('node:path')
  const program = `
    const { HttpsAgent } = require(${JSON.stringify(path.resolve(__dirname, '../..'))})
    const agent = new HttpsAgent({ http2: true, keepAlive: true, ca: ${JSON.stringify(root.pem)} })
    require('node:https').get({ host: 'localhost', family: 4, port: ${served.port}, agent }, (response) => {
      response.resume().on('end', () => console.log(response.httpVersion))
    })`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.deepStrictEqual([code, said.trim()], [0, '2.0'])
})

test('requests without an agent are as they were', async (scope) => {
  const served = await http2Server(scope, {
    onRequest: (request, response) => response.end(request.httpVersion),
    options: { allowHTTP1: true },
  })
  const { root } = await authority
  const body = await new Promise((resolve, reject) => {
    const options = { host: 'localhost', family: 4, port: served.port, ca: root.pem }
    https.get(options, (response) => response.on('data', (chunk) => resolve(String(chunk)))).on('error', reject)
  })
  assert.strictEqual(body, '1.1')
})
