'use strict'

// Requests to names: `burst`: a thousand to one; `dead`: to twenty that never answer, and 180 that do; `many-dead`: to 70 and 30,
// with threads enough. With an agent that
// remembers names, each request over a connection of its own: `remembered`: one after the other; `down`: when the name server
// has stopped to answer; `moved`: when the server has moved; `unknown`: to a name that does not exist. `rotated`: GETs and POSTs
// without end over connections that stay, while the server moves, and moves back; with `https`, over HTTP/2. What is remembered
// holds for 200 ms there, or as long as the last argument says.

const http = require('node:http')
const https = require('node:https')

const keepwire = require('../../../index.js')

const [what, port, controlPort, scheme = 'http', rotationMs = '200'] = process.argv.slice(2)
const remembering = {
  remembered: true,
  down: { ttl: 1, maxStale: 60_000 },
  moved: { ttl: 3_600_000 },
  unknown: { negativeTtl: 60_000 },
}
const asking = {
  ...remembering,
  'many-dead': { ttl: 0, maxThreads: 100 },
  rotated: { ttl: Number(rotationMs), rotate: true },
}
const options = { keepAlive: !(what in remembering), maxSockets: Infinity, dns: asking[what] }
const agent =
  scheme === 'http'
    ? new keepwire.Agent(options)
    : new keepwire.HttpsAgent({ ...options, http2: true, rejectUnauthorized: false })

/**
 * @param {string} host
 * @returns {Promise<string>} the status, or the error's code
 */
function get(host, options = {}) {
  return new Promise((resolve) => {
    const req = http.get({ host, port, family: 4, agent, ...options }, (res) => {
      res.resume().on('end', () => resolve(String(res.statusCode)))
    })
    req.on('error', (error) => resolve(/** @type {any} */ (error).code))
  })
}

const many = (/** @type {number} */ count, name) => Array.from({ length: count }, (_, index) => name(index))

/**
 * Where requests go whose connections stay: each tells who has answered it.
 * @param {number} among how many at a time
 */
function load(among) {
  const load = { isOver: false, served: 0, errors: [], hosts: Array(among).fill('') }
  const one = (at, method) =>
    new Promise((resolve) => {
      const { request } = scheme === 'http' ? http : https
      const req = request({ host: 'one.test', port, family: 4, agent, method }, (res) => {
        let body = ''
        res.setEncoding('utf8').on('data', (chunk) => (body += chunk))
        res.on('error', (error) => load.errors.push(String(error)))
        res.on('close', () => {
          load.served += 1
          load.hosts[at] = body
          resolve(undefined)
        })
      })
      req.on('error', (error) => {
        load.errors.push(String(error))
        resolve(undefined)
      })
      req.end(method === 'POST' ? 'body' : undefined)
    })
  const loop = async (at) => {
    for (let turn = at; !load.isOver; turn += 1) {
      await one(at, turn % 2 ? 'POST' : 'GET')
      // Whoever looks names up has a turn, too, on a machine with one core.
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  const ended = Promise.all(load.hosts.map((_, at) => loop(at)))
  return Object.assign(load, { ended })
}

/** Follows a server that moves three times, and says how long that took each time. */
async function rotated() {
  const all = load(4)
  const followedMs = []
  const isAt = async (host) => {
    const began = performance.now()
    while (!all.hosts.every((other) => other === host)) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      // Whoever has started it may be gone, and the name never move.
      if (performance.now() - began > 60_000) process.exit(1)
    }
  }
  await isAt('first')
  for (const host of ['second', 'first', 'second']) {
    const began = performance.now()
    await get('127.0.0.1', { path: `/${host}`, port: controlPort, agent: false })
    await isAt(host)
    followedMs.push(Math.round(performance.now() - began))
  }
  all.isOver = true
  await all.ended
  const { errors } = all
  const name = Object.keys(agent.stats().origins).find((name) => name.startsWith('one.test:'))
  const { closed, created, open } = agent.stats().origins[name]
  console.log(
    JSON.stringify({ isServed: all.served > 12, errors, gone: closed['address-gone'], created, open, followedMs }),
  )
}

async function main() {
  if (what === 'rotated') {
    await rotated()
  } else if (what === 'burst') {
    const burst = many(1_000, () => get('one.test'))
    // The engine begins connections in order, so all of the burst wait for the name when this one arrives.
    await get('127.0.0.1', { path: '/begun' })
    const ends = await Promise.all(burst)
    console.log(JSON.stringify({ served: ends.filter((end) => end === '200').length }))
  } else if (what in remembering) {
    const ends = []
    const name = what === 'unknown' ? 'none.test' : 'one.test'
    for (let round = 0; round < 20; round += 1) {
      ends.push(await get(name))
      if (round === 9) await get('127.0.0.1', { path: '/change', port: controlPort })
    }
    const { dns } = agent.stats()
    console.log(JSON.stringify({ ends: [...new Set(ends)], dns }))
  } else {
    const giveUp = new AbortController()
    let settled = 0
    const [deadCount, liveCount] = what === 'dead' ? [20, 180] : [70, 30]
    const dead = many(deadCount, (index) => get(`dead-${index}.test`, { signal: giveUp.signal }))
    for (const end of dead) end.then(() => settled++)
    const ends = await Promise.all(many(liveCount, (index) => get(`live-${index}.test`)))
    console.log(JSON.stringify({ served: ends.filter((end) => end === '200').length, settled }))
    giveUp.abort()
    await Promise.all(dead)
  }
  agent.destroy()
}

main()
