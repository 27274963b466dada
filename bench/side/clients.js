'use strict'

// One way each to send a request: `send(done)` calls `done(error | null)` when the response has ended, and only then.

const http = require('node:http')
const https = require('node:https')
const { Readable } = require('node:stream')

const { options: optionsOf, reads, sends } = require('./touches.js')

/** Ours first: what the others are compared with. */
const sideNames = ['keepwire', 'runtime', 'agentkeepalive', 'undici']

// Sides wait for each other between rounds: nobody's connections may time out meanwhile.
const IDLE_MS = 600_000

const makers = {
  keepwire(task) {
    const { Agent, HttpsAgent, fetch } = keepwireOf(task)
    const { proxied, secure } = task.scenario
    const agent = new (secure ? HttpsAgent : Agent)(agentOptions(task))
    if (task.scenario.fetch) return requestThroughFetch(fetch, task, secure || proxied ? { agent } : undefined)
    return requestThrough(agent, task)
  },
  runtime(task) {
    if (task.scenario.fetch) return requestThroughFetch(globalThis.fetch, task)
    return requestThrough(new (task.scenario.secure ? https : http).Agent(agentOptions(task)), task)
  },
  /** Ours, over HTTP/1.1 to the same server. */
  http1(task) {
    return makers[task.like]({ ...task, scenario: { ...task.scenario, http2: false } })
  },
  /** Ours, past the proxy. */
  straight(task) {
    return makers[task.like]({ ...task, proxies: {} })
  },
  /** Ours, to a server that is as far away as the one behind the proxy. */
  relayed(task) {
    const origin = task.relays[task.scenario.secure ? 'https' : 'http']
    return makers[task.like]({ ...task, origin, proxies: {} })
  },
  'node-http2'({ scenario, origin, ca }) {
    const session = require('node:http2').connect(origin, { ca })
    return (done) => {
      const stream = session.request({ ':path': scenario.path })
      let status
      stream.on('response', (headers) => (status = headers[':status']))
      stream.on('error', done)
      readPieces(stream, (bytes) => done(wrongResponse(scenario, status, bytes)))
      stream.end()
    }
  },
  /** Ours, in a process with a dashboard at which nobody looks. */
  watched(task) {
    require(`${task.folder ?? '../..'}/lib/dashboard.js`).dashboard({ port: 0 })
    return makers.keepwire(task)
  },
  own(task) {
    const own = keepwireOf(task)[task.scenario.secure ? 'https' : 'http']
    return requestThrough(new own.Agent(agentOptions(task)), task, own)
  },
  agentkeepalive(task) {
    const agentkeepalive = require('agentkeepalive')
    const Agent = task.scenario.secure ? agentkeepalive.HttpsAgent : agentkeepalive
    return requestThrough(new Agent({ ...agentOptions(task), freeSocketTimeout: IDLE_MS, timeout: IDLE_MS }), task)
  },
  undici(task) {
    if (process.versions.bun) throw new Error('Bun replaces undici with its own')
    return requestThroughUndici(require('undici'), task)
  },
}

/** Of this checkout, or of the folder with which it is compared. */
function keepwireOf({ folder = '../..' }) {
  return require(folder)
}

function requestThroughFetch(fetch, { scenario, origin }, over) {
  const url = new URL(scenario.path, origin).href
  const body = requestBody(scenario)
  const init = body ? { ...over, method: 'PUT', body } : over
  return (done) => {
    fetch(url, init)
      .then(async (response) => wrongResponse(scenario, response.status, (await response.arrayBuffer()).byteLength))
      .then(done, done)
  }
}

function agentOptions({ scenario, ca, proxies }) {
  const limits = { keepAlive: true, maxSockets: scenario.maxSockets, maxFreeSockets: scenario.maxSockets }
  const proxy = scenario.proxied ? proxies[scenario.secure ? 'https' : 'http'] : undefined
  const options = proxy === undefined ? limits : { ...limits, proxy }
  if (!scenario.secure) return options
  return { ...options, ca, http2: scenario.http2 === true }
}

function requestThrough(agent, { scenario, origin }, own) {
  const url = new URL(scenario.path, origin)
  const body = requestBody(scenario)
  const { streamBytes, touch } = scenario
  const options = {
    host: url.hostname,
    port: url.port,
    path: url.pathname,
    method: body || streamBytes || touch === 'write' ? 'POST' : 'GET',
    headers: streamBytes ? { 'Content-Length': String(streamBytes) } : requestHeaders(body),
    agent,
  }
  const { request: send } = own ?? (scenario.secure ? https : http)
  const readBody = reads[touch] ?? readPieces
  const sendBody = streamBytes ? (request) => pieces(streamBytes).pipe(request) : sends[touch]
  const more = moreOptions(scenario)
  return (done) => {
    const request = send(more === undefined ? options : { ...options, ...more() }, (response) => {
      response.on('error', done)
      readBody(response, (bytes) => done(wrongResponse(scenario, response.statusCode, bytes)))
    })
    request.on('error', done)
    if (sendBody === undefined) request.end(body)
    else sendBody(request)
  }
}

/** What differs from request to request; undefined: nothing. */
function moreOptions({ origins, touch }) {
  if (origins === undefined) return optionsOf[touch]
  // Connections from different addresses of this machine are as different as those to different hosts.
  let turn = 0
  return () => {
    turn = (turn + 1) % origins
    return { localAddress: `127.1.${turn >> 8}.${turn & 255}` }
  }
}

function pieces(bytes) {
  const piece = Buffer.alloc(64 * 1024, 'k')
  return Readable.from(
    (function* () {
      for (let sent = 0; sent < bytes; sent += piece.length) yield piece
    })(),
    { objectMode: false },
  )
}

function readPieces(response, done) {
  let bytes = 0
  response.on('data', (chunk) => (bytes += chunk.length))
  response.on('end', () => done(bytes))
}

function requestThroughUndici(undici, { scenario, origin, ca }) {
  const dispatcher = new undici.Pool(origin, {
    connections: scenario.http2 ? 1 : scenario.maxSockets,
    ...(scenario.http2 && { allowH2: true, pipelining: scenario.clients, maxConcurrentStreams: scenario.clients }),
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS,
    connect: { ca },
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
