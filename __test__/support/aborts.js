'use strict'

// Requests in each way that are given up at each moment: while they wait for a connection, while one is dialed, while they are
// under way and while their responses come. Beside them are some that nobody gives up. Each settles.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')

const { random } = require('./client')
const { turns, until } = require('./wait')

const HELLO = 'hello world'
const LANES = 500
/** A loaded machine is slow. What has not settled by then never does. */
const PATIENCE_MS = 30_000
const LATE = Symbol('late')
/** While the event loop stands still, nothing settles, and no beat is counted. */
const BEAT_MS = 5

/** What an agent's connections are when its requests are given up. */
const AGENTS = {
  waiting: { keepAlive: true, maxSockets: 4 },
  dialing: { keepAlive: true, maxSockets: 4 },
  'under way': { keepAlive: true },
}

/** When a request is given up; `listen` hears of its events. @type {Record<string, (abort: () => void, next: () => number, listen: (event: string, then: () => void) => void) => void>} */
const MOMENTS = {
  'at once': (abort) => abort(),
  'in a microtask': (abort) => queueMicrotask(abort),
  'in the next tick': (abort) => process.nextTick(abort),
  'in the next turn': (abort) => setImmediate(abort),
  soon: (abort, next) => setTimeout(abort, next() * 30),
  'with its socket': (abort, _, listen) => {
    listen('socket', abort)
    setTimeout(abort, 30)
  },
  'with its response': (abort, _, listen) => {
    listen('response', abort)
    setTimeout(abort, 30)
  },
}

/**
 * @typedef {{ settled: Promise<any>, abort: () => void, listen: (event: string, then: () => void) => void }} Begun
 *   `settled` resolves with a body, or with an error
 */

/** @returns {Begun} */
function byRequest(module, { port, path, agent }, next) {
  const controller = next() < 0.3 ? new AbortController() : null
  const options = { host: '127.0.0.1', port, path, agent, ...(controller && { signal: controller.signal }) }
  const request = module.request(next() < 0.3 ? { ...options, method: 'POST' } : options)
  let came = null
  const settled = new Promise((resolve) => {
    request.on('error', (error) => (came ??= error))
    request.on('response', (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text) => (body += text))
      response.on('error', (error) => (came ??= error))
      response.on('end', () => (came ??= body))
    })
    request.on('close', () => resolve(came))
  })
  request.end()
  return {
    settled,
    abort: () => (controller ? controller.abort() : request.destroy()),
    listen: (event, then) => request.on(event, then),
  }
}

/** @returns {Begun} */
function byFetch({ port, path, agent, scheme }) {
  const controller = new AbortController()
  const { signal } = controller
  const { fetch } = require('../..')
  let answered = () => {}
  const settled = fetch(`${scheme}://127.0.0.1:${port}${path}`, { agent, signal })
    .then((response) => {
      answered()
      return response.text()
    })
    .catch((error) => error)
  return {
    settled,
    abort: () => controller.abort(),
    listen: (event, then) => event === 'response' && (answered = then),
  }
}

const WAYS = {
  'http.request': (asked, next) => byRequest(asked.scheme === 'https' ? https : http, asked, next),
  'our own request': (asked, next) => byRequest(require('../..')[asked.scheme], asked, next),
  fetch: byFetch,
}

/** A proxy that takes connections and says nothing. */
async function silentProxy() {
  const sockets = new Set()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.resume()
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  return {
    port,
    nobodyConnected: () => until(() => sockets.size === 0, 'nobody is connected to the proxy'),
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

/**
 * What has settled, or LATE if that is long after something else.
 * @param {Promise<any>} settled
 * @param {Promise<any>} after
 */
function orLate(settled, after) {
  return new Promise((resolve) => {
    let timer
    let isSettled = false
    settled.then((came) => {
      isSettled = true
      clearTimeout(timer)
      resolve(came)
    })
    after.then(() => {
      if (!isSettled) timer = setTimeout(resolve, PATIENCE_MS, LATE)
    })
  })
}

const pick = (list, next) => list[Math.floor(next() * list.length)]

/**
 * @param {object} run
 * @param {(options: object) => any} run.makeAgent
 * @param {'http' | 'https'} run.scheme
 * @param {any} run.remote a remote-peer.js
 * @param {number} run.requests
 * @param {number} run.seed
 * @returns {Promise<{ counts: Record<string, number>, slowest: { ms: number, beats: number, what: string }, unsettled: string[] }>}
 *   `slowest`: from an abort until its request had settled, by beats of the event loop
 */
async function abortMany({ makeAgent, scheme, remote, requests, seed }) {
  const next = random(seed)
  const proxy = await silentProxy()
  const agents = Object.entries(AGENTS).map(([name, options]) => {
    const through = name === 'dialing' ? { proxy: `socks5h://127.0.0.1:${proxy.port}` } : {}
    return { name, agent: makeAgent({ ...options, ...through }) }
  })
  const counts = {}
  const unsettled = []
  let slowest = { ms: 0, beats: 0, what: 'none' }
  let beats = 0
  const heart = setInterval(() => beats++, BEAT_MS)
  const one = async () => {
    const { name, agent } = pick(agents, next)
    const way = pick(Object.keys(WAYS), next)
    const shape = pick(['length', 'silent', 'never', 'split'], next)
    const isInnocent = shape === 'length' && name !== 'dialing' && next() < 0.5
    const moment = isInnocent ? 'never' : pick(Object.keys(MOMENTS), next)
    const what = `${name}, ${way}, ${shape}, given up ${moment}`
    const begun = WAYS[way]({ scheme, port: remote.port, path: `/${shape}`, agent }, next)
    let abortedAt = 0
    let atBeat = 0
    const aborted = new Promise((resolve) => {
      if (isInnocent) return resolve(undefined)
      const abort = () => {
        if (abortedAt === 0) [abortedAt, atBeat] = [performance.now(), beats]
        begun.abort()
        resolve(undefined)
      }
      MOMENTS[moment](abort, next, begun.listen)
    })
    const came = await orLate(begun.settled, aborted)
    if (came === LATE) {
      unsettled.push(what)
      return
    }
    if (abortedAt > 0) {
      const ms = performance.now() - abortedAt
      if (beats - atBeat >= slowest.beats) slowest = { ms, beats: beats - atBeat, what }
    }
    // What was given up may have come all the same.
    if (isInnocent) assert.strictEqual(came, HELLO, what)
    const end = typeof came === 'string' ? 'came' : (came?.code ?? came?.name ?? 'nothing')
    const label = `${name}, ${way}: ${end}`
    counts[label] = (counts[label] ?? 0) + 1
  }
  let begun = 0
  const lane = async () => {
    while (begun++ < requests) await one()
  }
  await Promise.all(Array.from({ length: Math.min(LANES, requests) }, lane))
  clearInterval(heart)
  await turns(2)
  // Nothing of them is left: the next request is served, by each agent that can.
  for (const { name, agent } of agents) {
    assert.deepStrictEqual([name, Object.keys(agent.requests)], [name, []])
    if (name !== 'dialing') {
      const asked = { scheme, port: remote.port, path: '/length', agent }
      for (const way of Object.values(WAYS)) assert.strictEqual(await way(asked, () => 1).settled, HELLO)
    }
    agent.destroy()
  }
  await proxy.nobodyConnected()
  await proxy.close()
  await remote.nobodyConnected(PATIENCE_MS)
  return { counts, slowest, unsettled }
}

module.exports = { abortMany }
