'use strict'

// Clients that know nothing of HTTP/2, over it; and nginx, which speaks it.

const assert = require('node:assert')
const https = require('node:https')

const { authority, http2Agent, http2Server, outcome } = require('../support/http2')
const { hasNginx, startNginx } = require('../support/nginx')
const { isBun, isDeno } = require('../support/runtime')
const { test } = require('../support/suite')
const keepwire = require('../..')
const secureModule = require('../../lib/https')

/** Each client but got, which gives each request a checkServerIdentity: such requests fall back. `load()` gives `post(url, agent, text)` → body, following redirects. */
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

const noNginx = !hasNginx && 'nginx is not installed'

async function nginx(scope, settings) {
  const { server, root } = await authority
  const files = { 'cert.pem': server.pem, 'key.pem': server.key, 'ca.pem': root.pem }
  return startNginx(
    scope,
    files,
    (port) => `
      listen 127.0.0.1:${port} ssl http2;
      ssl_certificate cert.pem;
      ssl_certificate_key key.pem;
      ${settings}
      location / { return 200 "$server_protocol $connection"; }`,
  )
}

test('nginx: 200 requests at once and 300 one after another go over one connection', {
  skip: noNginx,
}, async (scope) => {
  const port = await nginx(scope, 'http2_max_concurrent_streams 256; keepalive_requests 100000;')
  const agent = await http2Agent(scope)
  const options = { port, agent }
  const bodies = new Set()
  for (const { body, error } of await Promise.all(Array.from({ length: 200 }, () => outcome(options)))) {
    bodies.add(error?.message ?? body)
  }
  for (let at = 0; at < 300; at++) {
    const { body, error } = await outcome(options)
    bodies.add(error?.message ?? body)
  }
  assert.strictEqual(bodies.size, 1)
  assert.match([...bodies][0], /^HTTP\/2\.0 \d+$/)
})

test('nginx: its GOAWAY every 50 requests fails no request, GET or POST, of 20 at once', {
  skip: noNginx,
}, async (scope) => {
  const port = await nginx(scope, 'keepalive_requests 50;')
  const agent = await http2Agent(scope, { maxSockets: 20 })
  const outcomes = new Map()
  let left = 600
  const work = async () => {
    while (left > 0) {
      left -= 1
      const method = left % 2 ? 'GET' : 'POST'
      const { body, error, lateError } = await outcome(
        { port, agent, method },
        { body: method === 'POST' ? 'x' : undefined },
      )
      const what = (error ?? lateError)?.message ?? body.split(' ')[0]
      outcomes.set(what, (outcomes.get(what) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 20 }, work))
  assert.deepStrictEqual([...outcomes], [['HTTP/2.0', 600]])
})

test('nginx: few streams at a time fail none of a burst', { skip: noNginx }, async (scope) => {
  const port = await nginx(scope, 'http2_max_concurrent_streams 2;')
  const agent = await http2Agent(scope)
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, () => outcome({ port, agent, method: 'POST' }, { body: 'x' })),
  )
  assert.deepStrictEqual(
    new Set(outcomes.map(({ body, error }) => error?.message ?? body.split(' ')[0])),
    new Set(['HTTP/2.0']),
  )
})

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
