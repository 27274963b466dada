'use strict'

// Requests over few connections, and limits of their host: what is left of them when only the young generation has been collected, as most
// collections do. Prints how many bytes a major collection frees beyond that, for each request.

const { http: ownHttp, Agent } = require('../../..')
const { parallel, read } = require('../client')

const [port, width] = process.argv.slice(2).map(Number)
const ROUNDS = 200

/** Everything that is not in use. */
function collect() {
  globalThis.gc()
  globalThis.gc()
}

async function main() {
  const where = { host: '127.0.0.1', port }
  const agents = [
    new Agent({ keepAlive: true, maxSockets: 2 }),
    new Agent({ keepAlive: true, limitsPerHost: { concurrency: 2 } }),
  ]
  const own = new ownHttp.Agent({ keepAlive: true, maxSockets: 2 })
  const ways = [
    ...agents.map((agent) => () => parallel(width, () => ({ ...where, agent }))),
    () => Promise.all(Array.from({ length: width }, () => read(ownHttp.get({ ...where, agent: own })))),
  ]
  const freed = []
  for (const way of ways) {
    // What is held for good is old by now.
    for (let i = 0; i < 5; i += 1) await way()
    collect()
    await way()
    collect()
    for (let i = 0; i < ROUNDS; i += 1) await way()
    globalThis.gc({ type: 'minor' })
    globalThis.gc({ type: 'minor' })
    const before = process.memoryUsage().heapUsed
    collect()
    freed.push((before - process.memoryUsage().heapUsed) / ROUNDS / width)
  }
  console.log(JSON.stringify({ freed }))
  for (const agent of [...agents, own]) agent.destroy()
}

main()
