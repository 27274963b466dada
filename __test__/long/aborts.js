'use strict'

// `npm run aborts [-- requests [seed]] [http|https]`: 10,000 requests in each way, most of them given up while they wait for a
// connection, while one is dialed, while they are under way. Each settles; how long that took at most is told.

const { readArguments } = require('../support/arguments')
const { abortMany } = require('../support/aborts')
const { startRemote } = require('../support/remote')
const { trusting } = require('../support/schemes')

const { numbers, chosen } = readArguments()
const [requests = 10_000, seed = Date.now() % 1_000_000] = numbers

async function main() {
  for (const scheme of chosen) {
    const identity = await scheme.identity()
    const remote = await startRemote(undefined, { identity })
    const makeAgent = (options) => new scheme.Agent(trusting(options, identity))
    const { counts, slowest, unsettled } = await abortMany({ makeAgent, scheme: scheme.name, remote, requests, seed })
    for (const [label, count] of Object.entries(counts).sort()) console.log(`${String(count).padStart(8)}  ${label}`)
    console.log(
      `${scheme.name}: ${requests} requests, seed ${seed}: ${unsettled.length} unsettled, the slowest after ${slowest.beats} beats of 5 ms, ${slowest.ms.toFixed(1)} ms (${slowest.what})`,
    )
    for (const what of unsettled) console.log(`    unsettled: ${what}`)
    if (unsettled.length > 0) process.exitCode = 1
    await remote.stop()
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
