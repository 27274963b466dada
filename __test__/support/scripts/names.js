'use strict'

// Requests to names: `burst`: a thousand to one; `dead`: to twenty that never answer, and 180 that do; `many-dead`: to 70 and 30,
// with threads enough. With an agent that
// remembers names, each request over a connection of its own: `remembered`: one after the other; `down`: when the name server
// has stopped to answer; `moved`: when the server has moved; `unknown`: to a name that does not exist.

const http = require('node:http')

const keepwire = require('../../../index.js')

const [what, port, controlPort] = process.argv.slice(2)
const remembering = {
  remembered: true,
  down: { ttl: 1, maxStale: 60_000 },
  moved: { ttl: 3_600_000 },
  unknown: { negativeTtl: 60_000 },
}
const asking = { ...remembering, 'many-dead': { ttl: 0, maxThreads: 100 } }
const agent = new keepwire.Agent({ keepAlive: !(what in remembering), maxSockets: Infinity, dns: asking[what] })

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

async function main() {
  if (what === 'burst') {
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
