'use strict'

// The process of one side of `keepwire bench`: told to send requests for so many milliseconds, it answers with what came of them. It
// ends with its parent.

const http = require('node:http')
const https = require('node:https')
const path = require('node:path')
const { createRequire } = require('node:module')

const { Agent } = require('../agent/agent.js')
const { Agent: HttpsAgent } = require('../agent/https-agent.js')
const ownHttp = require('../api/http.js')
const ownHttps = require('../api/https.js')

/** After an error: whoever refuses connections is not to be asked a thousand times a millisecond. */
const PAUSE_MS = 10

/** Latencies are counted in steps of one per cent: 2,000 of them reach from 1 µs to 7 minutes. */
const STEP = Math.log(1.01)
const STEPS = 2000

/**
 * @typedef {object} Task
 * @property {string} side
 * @property {string} url
 * @property {number} connections
 * @property {Record<string, unknown>} agentOptions
 *
 * @typedef {(done: (error: Error | null) => void) => void} Send
 * @typedef {{ send: Send, opened: () => number }} Sender
 */

/**
 * @param {Task} task
 * @param {{ request: Function }} api
 * @param {any} agent
 * @returns {Send}
 */
function requestBy(task, { request }, agent) {
  const url = new URL(task.url)
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    path: url.pathname + url.search,
    headers: { accept: '*/*', host: url.host },
    agent,
  }
  return (done) => {
    const asked = request(options, (/** @type {http.IncomingMessage} */ response) => {
      response.once('error', done).once('end', () => done(null))
      response.resume()
    })
    asked.once('error', done)
    asked.end()
  }
}

/**
 * A package of the user's: looked for where the command runs.
 * @param {string} name
 */
function packageNamed(name) {
  try {
    return createRequire(path.join(process.cwd(), 'noop.js'))(name)
  } catch (error) {
    const { code } = /** @type {{ code?: string }} */ (error)
    if (code?.endsWith('MODULE_NOT_FOUND')) throw new Error(`not installed here: npm install ${name}`)
    throw error
  }
}

/** @param {any} undici @param {Task} task @returns {Sender} */
function undiciSender(undici, { agentOptions, connections, url }) {
  const { ca, cert, key, rejectUnauthorized } = agentOptions
  const { origin, pathname, search } = new URL(url)
  const pool = new undici.Pool(origin, { connections, connect: { ca, cert, key, rejectUnauthorized } })
  let opened = 0
  pool.on('connect', () => (opened += 1))
  const send = (/** @type {(error: Error | null) => void} */ done) => {
    pool
      .request({ method: 'GET', path: pathname + search, headers: { accept: '*/*' } })
      .then((/** @type {{ body: import('node:stream').Readable }} */ { body }) => {
        body.once('error', done).once('end', () => done(null))
        body.resume()
      }, done)
  }
  return { send, opened: () => opened }
}

/** @param {Task} task @returns {Sender} */
function senderFor(task) {
  const { agentOptions, connections, side } = task
  const isSecure = task.url.startsWith('https:')
  const limits = { keepAlive: true, maxSockets: connections, maxFreeSockets: connections, ...agentOptions }
  const api = isSecure ? https : http
  if (side === 'undici') return undiciSender(packageNamed('undici'), task)
  if (side === 'keepwire' || side === 'fast') {
    const agent = new (isSecure ? HttpsAgent : Agent)(limits)
    const opened = () =>
      Object.values(/** @type {any} */ (agent.stats()).origins).reduce((sum, { created }) => sum + created, 0)
    return { send: requestBy(task, side === 'fast' ? (isSecure ? ownHttps : ownHttp) : api, agent), opened }
  }
  const agentkeepalive = side === 'agentkeepalive' ? packageNamed('agentkeepalive') : null
  const Runtimes = agentkeepalive === null ? api.Agent : isSecure ? agentkeepalive.HttpsAgent : agentkeepalive
  const agent = new Runtimes(limits)
  let opened = 0
  const { createConnection } = agent
  agent.createConnection = function (/** @type {unknown[]} */ ...args) {
    opened += 1
    return createConnection.apply(this, args)
  }
  return { send: requestBy(task, api, agent), opened: () => opened }
}

/** @param {Uint32Array} counts @param {number} share */
function quantile(counts, share) {
  let left = counts.reduce((sum, count) => sum + count, 0) * share
  const at = counts.findIndex((count) => {
    left -= count
    return left <= 0
  })
  return Math.exp(Math.max(at, 0) * STEP)
}

/**
 * Keeps all connections busy until the time is over; every request that was begun is waited for and counts.
 * @param {Sender} sender
 * @param {Task} task
 * @param {Uint32Array} latencies added to
 * @param {number} durationMs
 */
function round({ opened, send }, { connections }, latencies, durationMs) {
  return new Promise((resolve) => {
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const endAt = startedAt + durationMs
    /** @type {Record<string, number>} */
    const errors = {}
    let requests = 0
    let busy = connections
    const finish = () => {
      const { system, user } = process.cpuUsage(cpuBefore)
      const times = { p50Micros: quantile(latencies, 0.5), p99Micros: quantile(latencies, 0.99) }
      const elapsedMs = performance.now() - startedAt
      resolve({ requests, elapsedMs, cpuMicros: user + system, connections: opened(), errors, ...times })
    }
    const next = () => {
      if (performance.now() >= endAt) {
        busy -= 1
        if (busy === 0) finish()
        return
      }
      const begunAt = performance.now()
      send((error) => {
        if (error !== null) {
          const { code = error.message } = /** @type {Error & { code?: string }} */ (error)
          errors[code] = (errors[code] ?? 0) + 1
          setTimeout(next, PAUSE_MS)
          return
        }
        requests += 1
        const micros = (performance.now() - begunAt) * 1000
        latencies[Math.min(STEPS - 1, Math.max(0, Math.ceil(Math.log(micros) / STEP)))] += 1
        next()
      })
    }
    for (let client = 0; client < connections; client += 1) next()
  })
}

/** @returns {Promise<number>} never, but for its parent's end */
function side() {
  /** @type {Task} */
  let task
  /** @type {Sender} */
  let sender
  const latencies = new Uint32Array(STEPS)
  const answer = (/** @type {unknown} */ message) => /** @type {Function} */ (process.send)(message)
  process.once('disconnect', () => process.exit())
  process.on('message', async (/** @type {any} */ message) => {
    if (task === undefined) {
      task = message
      try {
        sender = senderFor(task)
      } catch (error) {
        return answer({ unavailable: /** @type {Error} */ (error).message.split('\n')[0] })
      }
      return answer({ ready: true })
    }
    const result = await round(sender, task, latencies, message.durationMs)
    if (message.isWarmUp) latencies.fill(0)
    answer(result)
  })
  return new Promise(() => {})
}

module.exports = { side }
