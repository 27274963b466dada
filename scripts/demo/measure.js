'use strict'

// Unmodified `http.get` calls, timed. Nothing here knows which agent it uses.

const { once } = require('node:events')
const net = require('node:net')
const { UserError } = require('../report.js')

const ANSWER_WITHIN_MS = 15_000
const BODY_LIMIT = 4 * 1024 * 1024

/**
 * @typedef {object} Sample one request
 * @property {number} latencyMs sequential: from the call to the end of the body; parallel: from getting its connection
 * @property {number} connectMs name look-up and TCP handshake, 0 on a connection that was open already
 * @property {number} status
 */

/**
 * Sends a scenario's requests through a new agent of one side.
 * @returns {Promise<{ samples: Sample[], connections: number, wallMs: number }>} connections: distinct sockets seen
 */
async function measureSide(get, url, side, scenario) {
  const agent = side.agent(scenario.maxSockets)
  const sockets = new Set()
  const exchange = () => send(get, url, { agent, headers: { ...side.headers } }, sockets, scenario.parallel)
  const started = performance.now()
  try {
    const samples = []
    if (scenario.parallel) {
      samples.push(...(await Promise.all(Array.from({ length: scenario.requests }, exchange))))
    } else {
      while (samples.length < scenario.requests) samples.push(await exchange())
    }
    return { samples, connections: sockets.size, wallMs: performance.now() - started }
  } finally {
    agent.destroy()
  }
}

function send(get, url, options, sockets, fromSocket) {
  return new Promise((resolve, reject) => {
    let startedAt = performance.now()
    let connectMs = 0
    const settle = (error, status) => {
      clearTimeout(timer)
      if (error) reject(error)
      else resolve({ latencyMs: performance.now() - startedAt, connectMs, status })
    }
    const request = get(url, options, (response) => {
      let bytes = 0
      response.on('data', (chunk) => {
        bytes += chunk.length
        if (bytes > BODY_LIMIT) giveUp('the body is larger than 4 MB: choose something smaller')
      })
      response.on('end', () => settle(null, response.statusCode))
      response.on('error', settle)
    })
    const giveUp = (reason) => {
      settle(new UserError(reason))
      request.destroy()
    }
    // Not request.setTimeout: that begins with a socket.
    const timer = setTimeout(giveUp, ANSWER_WITHIN_MS, `no answer from ${url.host} within ${ANSWER_WITHIN_MS / 1000} s`)
    request.on('socket', (socket) => {
      const assignedAt = performance.now()
      if (fromSocket) startedAt = assignedAt
      if (sockets.has(socket)) return
      sockets.add(socket)
      const connected = url.protocol === 'https:' ? 'secureConnect' : 'connect'
      if (socket.connecting) socket.once(connected, () => (connectMs = performance.now() - assignedAt))
    })
    request.on('error', settle)
  })
}

/**
 * Exchanges small messages on a plain socket, one after another, beside what is measured: so the round trip is known under
 * the very same load, and a busy machine is not mistaken for connection overhead.
 * @returns {Promise<{ begin(): void, end(): number, stop(): void }>} `end()`: mean ms of the exchanges since `begin()`
 */
async function startPilot(url) {
  const socket = net.connect({ host: url.hostname, port: Number(url.port), noDelay: true })
  await once(socket, 'connect')
  let times = []
  let startedAt
  const ask = () => {
    startedAt = performance.now()
    socket.write(`GET / HTTP/1.1\r\nHost: ${url.host}\r\n\r\n`)
  }
  // An answer is one small packet.
  socket.on('data', () => {
    times.push(performance.now() - startedAt)
    ask()
  })
  ask()
  await once(socket, 'data') // the first exchange pays for the handshake
  return {
    begin: () => (times = []),
    end: () => sum(times) / times.length,
    stop: () => socket.destroy(),
  }
}

/**
 * @typedef {object} Row one side of a table
 * @property {number} connections
 * @property {number} [roundTripMs]
 * @property {number} firstMs median
 * @property {number} laterMs median
 * @property {number} overheadMs of the repeated requests together
 * @property {number | null} savedPercent of the baseline's overhead
 * @property {number} wallMs
 * @property {Set<number>} statuses
 */

/**
 * One row of the table. The first requests are those that had to open the connections, the others are repeated ones.
 * A request's overhead is what it took above the round trip, where that was measured, else the time to connect.
 * @param {{ samples: Sample[], connections: number, wallMs: number, roundTripMs?: number }} result
 * @param {number} openers how many requests had to open connections
 * @param {Row} [baseline] the row of a connection per request
 * @returns {Row}
 */
function summarize(result, openers, baseline) {
  const { samples, roundTripMs } = result
  const overheadOf =
    roundTripMs === undefined ? (sample) => sample.connectMs : (sample) => sample.latencyMs - roundTripMs
  const first = samples.slice(0, openers)
  const later = samples.slice(openers)
  const overheadMs = Math.max(0, sum(later.map(overheadOf)))
  return {
    connections: result.connections,
    roundTripMs,
    firstMs: median(first.map((sample) => sample.latencyMs)),
    laterMs: median(later.map((sample) => sample.latencyMs)),
    overheadMs,
    savedPercent:
      baseline !== undefined && baseline.overheadMs > 0 ? 100 * (1 - overheadMs / baseline.overheadMs) : null,
    wallMs: result.wallMs,
    statuses: new Set(samples.map((sample) => sample.status)),
  }
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

module.exports = { measureSide, startPilot, summarize }
