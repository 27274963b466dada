'use strict'

// Reads a bomb until its timeout, with other requests beside it, and says how they fared, how much memory it took, and how
// much was left of that a moment later.
//
// Arguments: the server's origin; its paths /bomb and /small.

const { fetch } = require('../../..')

const [origin] = process.argv.slice(2)
const TIMEOUT_MS = 300
/** More than it stands for: nothing but the timeout ends it, however fast the machine is. */
const MOST_BYTES = 100e9

async function main() {
  await (await fetch(`${origin}/small`)).text()
  const before = process.memoryUsage().rss
  let most = before
  let isOver = false
  const begun = performance.now()
  const bomb = await fetch(`${origin}/bomb`, { timeout: TIMEOUT_MS, maxResponseSize: MOST_BYTES })
  const told = bomb.text().then(
    () => ({ error: 'none' }),
    (error) => ({ error: error.name }),
  )
  told.then(() => {
    isOver = true
  })
  let beside = 0
  while (!isOver) {
    if ((await (await fetch(`${origin}/small`)).text()) !== 'small') throw new Error('not its own body')
    most = Math.max(most, process.memoryUsage().rss)
    beside++
  }
  const took = performance.now() - begun
  // What was being worked on is dropped when its turn is over.
  let after = process.memoryUsage().rss
  for (let turn = 0; turn < 200 && after > before + 64e6; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    after = process.memoryUsage().rss
  }
  console.log(JSON.stringify({ ...(await told), beside, took, grown: most - before, left: after - before }))
  process.exit()
}

main()
