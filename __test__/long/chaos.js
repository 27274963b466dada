'use strict'

// 50,000 requests to a server that resets, stalls, trickles, sends garbage, answers early, closes in every phase and
// says things that nobody asked: `npm run chaos [-- requests [seed]]`. Each settles exactly once, with its own body or an
// error; memory and descriptors end where they began.

const { chaos } = require('../support/chaos')
const { held, megabytes } = require('../support/memory')
const { startRemote } = require('../support/remote')
const { agentUnderTest } = require('../support/runtime')

const requests = Number(process.argv[2] || 50_000)
const seed = Number(process.argv[3] || Date.now() % 1_000_000)
const MOST_GROWTH = 32 * 1024 * 1024

async function main() {
  console.log(`${requests} requests, seed ${seed}`)
  const remote = await startRemote('chaos-peer.js')
  const Agent = agentUnderTest()
  const run = async (n, from) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 32 })
    const counts = await chaos({ agent, port: remote.port, requests: n, seed: from })
    agent.destroy()
    await remote.nobodyConnected(10_000)
    return counts
  }
  // A first run brings the heap and the engine to their working size.
  await run(Math.min(requests, 10_000), seed + 1)
  const before = held()
  const counts = await run(requests, seed)
  const after = held()
  for (const [label, count] of Object.entries(counts).sort()) console.log(`${String(count).padStart(8)}  ${label}`)
  await remote.stop()
  console.log(`descriptors ${before.descriptors} → ${after.descriptors}`)
  console.log(`RSS ${megabytes(before.rss)} → ${megabytes(after.rss)}`)
  if (after.descriptors > before.descriptors) throw new Error('descriptors leak')
  if (after.rss > before.rss + MOST_GROWTH) throw new Error('memory grows')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
