'use strict'

// `node __test__/long/fetch-exactness.js [requests] [runs]`: fetches of each shape one after another on 1 connection, and
// runs of a closed loop of 50 on 50. Ends with an error at any exception.

const { fetch } = require('../..')
const { closedLoop, sequential, shapes } = require('../support/fetch-exactness')
const { startRemote } = require('../support/remote')

const [requests = 10_000, runs = 100] = process.argv.slice(2).map(Number)

async function counted(name, expected, work) {
  const remote = await startRemote()
  await work(`http://127.0.0.1:${remote.port}`)
  const { accepted } = await remote.counts()
  await remote.stop()
  if (accepted !== expected) throw new Error(`${name}: ${accepted} connections instead of ${expected}`)
}

async function main() {
  for (const shape of shapes) {
    await counted(shape.name, 1, (origin) => sequential(fetch, origin, shape, requests))
    console.log(`${requests} fetches, ${shape.name}: 1 connection`)
  }
  for (let run = 0; run < runs; run++) {
    await counted('closed loop', 50, (origin) => closedLoop(fetch, origin, 50, 1_000))
  }
  console.log(`${runs} runs of a closed loop of 50: 50 connections each`)
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
