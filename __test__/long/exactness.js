'use strict'

// The full exactness proof: 10,000 sequential requests of each shape on 1 connection, and 100 runs of a 50-way closed
// loop on 50. `node __test__/long/exactness.js [requests] [runs]`; ends with code 1 at the first exception.

const { closedLoop, sequentialShapes } = require('../support/exactness')
const { startRemote } = require('../support/remote')
const { agentUnderTest } = require('../support/runtime')

const requests = Number(process.argv[2] || 10_000)
const runs = Number(process.argv[3] || 100)

async function main() {
  const Agent = agentUnderTest()
  const makeAgent = (options) => new Agent(options)
  const remote = await startRemote()
  let exceptions = 0
  const report = (what, connections, expected) => {
    if (connections !== expected) exceptions++
    console.log(`${connections === expected ? 'exact' : 'WRONG'}  ${connections} of ${expected} connections  ${what}`)
  }
  for (const shape of sequentialShapes) {
    report(`${requests} sequential requests: ${shape.name}`, await shape.run(makeAgent, remote, requests), 1)
  }
  const seen = new Map()
  for (let run = 0; run < runs; run++) {
    const connections = await closedLoop(makeAgent, remote, { width: 50, maxSockets: 50, requests: 1_000 })
    seen.set(connections, (seen.get(connections) || 0) + 1)
  }
  for (const [connections, times] of seen) report(`${times} runs of a 50-way closed loop`, connections, 50)
  await remote.stop()
  if (exceptions > 0) process.exitCode = 1
}

main()
