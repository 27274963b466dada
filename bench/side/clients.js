'use strict'

// One way each to send a request: `send(done)` calls `done(error | null)` when the response has ended, and only then.

const http = require('node:http')

const sideNames = ['keepwire', 'runtime', 'agentkeepalive', 'undici']

// Sides wait for each other between rounds: nobody's connections may time out meanwhile.
const IDLE_MS = 600_000

const makers = {
  keepwire: (task) =>
    by(task, require('../..').fetch) ?? requestThrough(new (require('../..').Agent)(agentOptions(task)), task),
  runtime: (task) => by(task, globalThis.fetch) ?? requestThrough(new http.Agent(agentOptions(task)), task),
  agentkeepalive(task) {
    by(task)
    const Agent = require('agentkeepalive')
    return requestThrough(new Agent({ ...agentOptions(task), freeSocketTimeout: IDLE_MS, timeout: IDLE_MS }), task)
  },
  undici(task) {
    by(task)
    if (process.versions.bun) throw new Error('Bun replaces undici with its own')
    return requestThroughUndici(require('undici'), task)
  },
}

/** Sends by `fetch` in the cases that are about it; a side without one can't run those. */
function by({ scenario, origin }, fetch) {
  if (!scenario.fetch) return undefined
  if (fetch === undefined) throw new Error('it has no fetch')
  const url = new URL(scenario.path, origin).href
  return (done) => {
    fetch(url)
      .then(async (response) => wrongResponse(scenario, response.status, (await response.arrayBuffer()).byteLength))
      .then(done, done)
  }
}

function agentOptions({ scenario }) {
  return { keepAlive: true, maxSockets: scenario.maxSockets, maxFreeSockets: scenario.maxSockets }
}

function requestThrough(agent, { scenario, origin }) {
  const url = new URL(scenario.path, origin)
  const body = requestBody(scenario)
  const options = {
    host: url.hostname,
    port: url.port,
    path: url.pathname,
    method: body ? 'POST' : 'GET',
    headers: requestHeaders(body),
    agent,
  }
  return (done) => {
    const request = http.request(options, (response) => {
      let bytes = 0
      response.on('data', (chunk) => (bytes += chunk.length))
      response.on('end', () => done(wrongResponse(scenario, response.statusCode, bytes)))
      response.on('error', done)
    })
    request.on('error', done)
    request.end(body)
  }
}

function requestThroughUndici(undici, { scenario, origin }) {
  const dispatcher = new undici.Pool(origin, {
    connections: scenario.maxSockets,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS,
  })
  const url = new URL(scenario.path, origin)
  const body = requestBody(scenario)
  const options = { method: body ? 'POST' : 'GET', headers: requestHeaders(body), body, dispatcher }
  return (done) => {
    undici.request(url, options).then((response) => {
      let bytes = 0
      response.body.on('data', (chunk) => (bytes += chunk.length))
      response.body.on('end', () => done(wrongResponse(scenario, response.statusCode, bytes)))
      response.body.on('error', done)
    }, done)
  }
}

function requestBody({ postBytes }) {
  return postBytes ? Buffer.alloc(postBytes, 'k') : undefined
}

function requestHeaders(body) {
  return body ? { 'Content-Type': 'text/plain', 'Content-Length': String(body.length) } : {}
}

function wrongResponse(scenario, status, bytes) {
  return status === 200 && bytes === scenario.bytes ? null : new Error(`status ${status} with ${bytes} bytes`)
}

module.exports = { makers, sideNames }
