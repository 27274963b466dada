'use strict'

// 50,000 requests to a server that resets, stalls, trickles, sends garbage, answers early, closes in every phase and
// says things that nobody asked: `npm run chaos [-- requests [seed]] [http|https]`. Each settles exactly once, with its own
// body or an error; memory and descriptors end where they began.

const { readArguments } = require('../support/arguments')
const { chaos } = require('../support/chaos')
const { held, megabytes } = require('../support/memory')
const { startRemote } = require('../support/remote')
const { trusting } = require('../support/schemes')

const { numbers, chosen } = readArguments()
const [requests = 50_000, seed = Date.now() % 1_000_000] = numbers
const MOST_GROWTH = 32 * 1024 * 1024
/** What leaks grows each time; what a loaded machine has more of at once does not. */
const MOST_RUNS = 3

/** @param {import('../support/schemes').Scheme} scheme */
async function over(scheme) {
  console.log(`${scheme.name}: ${requests} requests, seed ${seed}`)
  const identity = await scheme.identity()
  const remote = await startRemote('chaos-peer.js', { identity })
  const run = async (n, from) => {
    const agent = new scheme.Agent(trusting({ keepAlive: true, maxSockets: 32, headersTimeout: 60_000 }, identity))
    const counts = await chaos({ agent, remote, requests: n, seed: from })
    agent.destroy()
    await remote.nobodyConnected(10_000)
    return counts
  }
  // A first run brings the heap and the engine to their working size.
  await run(Math.min(requests, 10_000), seed + 1)
  for (let times = 1; ; times++) {
    const before = held()
    const counts = await run(requests, seed)
    const after = held()
    for (const [label, count] of Object.entries(counts).sort()) console.log(`${String(count).padStart(8)}  ${label}`)
    console.log(`descriptors ${before.descriptors} → ${after.descriptors}`)
    console.log(`RSS ${megabytes(before.rss)} → ${megabytes(after.rss)}`)
    if (after.descriptors > before.descriptors) throw new Error('descriptors leak')
    if (after.rss <= before.rss + MOST_GROWTH) break
    if (times === MOST_RUNS) throw new Error('memory grows')
    console.log('more than it may be: once more')
  }
  await remote.stop()
}

async function main() {
  for (const scheme of chosen) await over(scheme)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
