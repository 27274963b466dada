'use strict'

// Reuse is exact, at full length: `npm run exactness [-- requests [runs]] [http|https]`. Sequential requests of each shape
// on 1 connection; runs of a closed loop of 50 on 50; twice as many GETs and POSTs to an nginx that announces the end of
// each connection after 100 and 1,000 requests, over agents with and without keepAlive, on no connection that need not be: each has all
// of its requests but for the 10 that are open at the end. The runtime's own agents are shown beside it: theirs vary as well, from 21 to
// 28 where 20 are the least. Where there are thousands, ours may be 1.01 times theirs. Ends with code 1 at any exception.

const { readArguments } = require('../support/arguments')
const { closedLoop, mixedAgents, mixedLoop, sequentialShapes, startAnnouncing } = require('../support/exactness')
const { hasNginx } = require('../support/nginx')
const { startRemote } = require('../support/remote')
const { trusting } = require('../support/schemes')

const { numbers, chosen } = readArguments()
const [requests = 10_000, runs = 100] = numbers
const MOST = 1.01
/** Of fewer, 10 more or less are more than that. */
const MANY = 1_000

/** @param {boolean} holds @param {string} what */
function report(holds, what) {
  if (!holds) process.exitCode = 1
  console.log(`${holds ? 'exact' : 'WRONG'}  ${what}`)
}

/** @param {import('../support/schemes').Scheme} scheme */
async function againstOurs(scheme) {
  const identity = await scheme.identity()
  const makeAgent = (options) => new scheme.Agent(trusting(options, identity))
  const remote = await startRemote(undefined, { identity })
  try {
    for (const shape of sequentialShapes) {
      const used = await shape.run(makeAgent, remote, requests)
      report(used === 1, `${scheme.name}: ${requests} sequential requests, ${shape.name}: ${used} of 1`)
    }
    const seen = new Map()
    for (let run = 0; run < runs; run++) {
      const used = await closedLoop(makeAgent, remote, { width: 50, maxSockets: 50, requests: 1_000 })
      seen.set(used, (seen.get(used) ?? 0) + 1)
    }
    for (const [used, times] of seen) report(used === 50, `${scheme.name}: closed loop, ${times} runs: ${used} of 50`)
  } finally {
    await remote.stop()
  }
}

/** @param {import('../support/schemes').Scheme} scheme */
async function againstNginx(scheme) {
  const identity = await scheme.identity()
  for (const most of [100, 1_000]) {
    const ends = []
    const port = await startAnnouncing({ defer: (end) => ends.push(end) }, most, identity)
    try {
      for (const [name, options] of Object.entries(mixedAgents)) {
        for (const posts of [0.5, 1]) {
          const counts = []
          for (const Agent of [scheme.RuntimeAgent, scheme.Agent]) {
            const agents = options.map((one) => new Agent(trusting(one, identity)))
            counts.push(await mixedLoop(agents, port, { requests: 2 * requests, posts, most }))
            for (const agent of agents) agent.destroy()
          }
          const [{ used: theirs }, { used, needless }] = counts
          const what = `keepalive_requests ${most}, ${name}, ${100 * posts} % POSTs`
          report(
            needless === 0 && (theirs < MANY || used <= MOST * theirs),
            `${scheme.name}: nginx, ${what}: ${used}, ${needless} of them needless, the runtime's ${theirs}`,
          )
        }
      }
    } finally {
      for (const end of ends) await end()
    }
  }
}

async function main() {
  if (!hasNginx) console.log('There is no nginx: that part is left out.')
  for (const scheme of chosen) {
    if (hasNginx) await againstNginx(scheme)
    await againstOurs(scheme)
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
