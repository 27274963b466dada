'use strict'

// What nginx, with one setting or another, is asked over HTTP/2: http2/nginx.test.js, and longer `npm run http2`. Each step gives what
// it has counted; all of it must be zero but `connections`.

const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { inLanes } = require('./client')
const { authority, http2Agent } = require('./http2')
const { startNginx } = require('./nginx')
const { fetch, https: ours } = require('../..')

const LARGE = 8 << 20

/** Ways to send a request: `(url, agent, body)` gives the body of the response. */
const clients = {
  'https.request': async () => overRequest(https),
  'keepwire/https': async () => overRequest(ours),
  axios: async () => {
    const axios = require('axios')
    const options = { proxy: false, adapter: 'http', responseType: 'text', maxRedirects: 0 }
    return async (url, httpsAgent, data) =>
      (await axios.request({ url, method: data === undefined ? 'GET' : 'POST', data, httpsAgent, ...options })).data
  },
  got: async () => {
    const { default: got } = await import('got')
    return (url, agent, body) =>
      got(url, {
        method: body === undefined ? 'GET' : 'POST',
        body,
        agent: { https: agent },
        retry: { limit: 0 },
      }).text()
  },
  'follow-redirects': async () => overRequest(require('follow-redirects').https),
  '@smithy/node-http-handler': async () => {
    const { NodeHttpHandler } = require('@smithy/node-http-handler')
    const handlers = new Map()
    return async (url, agent, body) => {
      if (!handlers.has(agent)) handlers.set(agent, new NodeHttpHandler({ httpsAgent: agent }))
      const { hostname, pathname, port, protocol } = new URL(url)
      const { response } = await handlers.get(agent).handle({
        protocol,
        hostname,
        port: Number(port),
        path: pathname,
        method: body === undefined ? 'GET' : 'POST',
        headers: body === undefined ? {} : { 'content-length': String(body.length) },
        query: {},
        body,
      })
      return text(response.body)
    }
  },
  fetch: async () => async (url, agent, body) =>
    (await fetch(url, { method: body === undefined ? 'GET' : 'POST', body, agent })).text(),
  'fetch without an agent': async () => async (url, _agent, body) =>
    (await fetch(url, { method: body === undefined ? 'GET' : 'POST', body })).text(),
}

function overRequest(module) {
  return (url, agent, body) =>
    new Promise((resolve, reject) => {
      const options = { agent, method: body === undefined ? 'GET' : 'POST' }
      const request = module.request(url, options, (response) => text(response).then(resolve, reject))
      request.on('error', reject)
      request.end(body)
    })
}

function text(stream) {
  return new Promise((resolve, reject) => {
    let all = ''
    stream.on('data', (chunk) => (all += chunk))
    stream.on('error', reject)
    stream.on('end', () => resolve(all))
  })
}

/**
 * An nginx that says over which connection it was asked for what, and remembers.
 * @param {import('./suite').Scope} scope
 * @param {string} settings
 */
async function start(scope, settings) {
  const { server, root } = await authority
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-log-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const log = path.join(folder, 'access.log')
  const files = { 'cert.pem': server.pem, 'key.pem': server.key, 'ca.pem': root.pem, large: 'x'.repeat(LARGE) }
  const port = await startNginx(
    scope,
    files,
    (port) => `
      listen 127.0.0.1:${port} ssl http2 backlog=1024;
      ssl_certificate cert.pem;
      ssl_certificate_key key.pem;
      access_log ${log};
      root .;
      ${settings}
      location / { return 200 "$server_protocol $connection $request_method $uri"; }
      location = /large { }`,
  )
  return { origin: `https://localhost:${port}`, asked: () => fs.readFileSync(log, 'utf8').trim().split('\n') }
}

/**
 * Sends `requests`, `lanes` at a time, each other one a POST or as `methods` says.
 * @param {{ origin: string, asked: () => string[] }} server
 * @param {(url: string, agent: any, body?: string) => Promise<string>} send
 * @param {{ requests: number, lanes: number, agent?: any, methods?: string[] }} how
 */
async function load({ origin, asked }, send, { requests, lanes, agent, methods = ['GET', 'POST'] }) {
  const before = asked().length
  const [errors, connections] = [new Map(), new Set()]
  let wrong = 0
  await inLanes(lanes, requests, async (number) => {
    const method = methods[number % methods.length]
    const uri = `/${number}`
    try {
      const body = await send(`${origin}${uri}`, agent, method === 'POST' ? `body ${number}` : undefined)
      const [version, connection, ...rest] = body.split(' ')
      connections.add(connection)
      if (version !== 'HTTP/2.0' || rest.join(' ') !== `${method} ${uri}`) wrong += 1
    } catch (error) {
      const code = error.cause?.code ?? error.code ?? error.message
      errors.set(code, (errors.get(code) ?? 0) + 1)
    }
  })
  const failed = [...errors.values()].reduce((sum, count) => sum + count, 0)
  // What it has logged a moment later is there for the next one.
  const duplicates = Math.max(0, asked().length - before - requests)
  return { failed, wrong, duplicates, connections: connections.size, codes: Object.fromEntries(errors) }
}

/** How many of three bodies of 8 MB that nobody reads keep a fourth request from its answer: 1 or 0. */
async function unread(scope, { isAlone }) {
  const { origin } = await start(scope, '')
  const agent = isAlone ? undefined : await http2Agent(scope)
  const held = await Promise.all(Array.from({ length: 3 }, () => fetch(`${origin}/large`, { agent })))
  const body = await (await fetch(`${origin}/fourth`, { agent, signal: AbortSignal.timeout(20_000) })).text()
  const lengths = await Promise.all(held.map(async (response) => (await response.arrayBuffer()).byteLength))
  return { failed: Number(!body.endsWith('/fourth')), wrong: lengths.filter((length) => length !== LARGE).length }
}

module.exports = { clients, load, start, unread }
