'use strict'

// Reads a bomb, with other requests beside it until it is given up; then one until its timeout. Says how many there were
// beside, how the second one ended, how long it took, and how much memory was left of it in the end.
//
// Arguments: the server's origin; its paths /bomb and /small; how many requests there are beside.

const { fetch } = require('../../..')
const { held } = require('../memory')

const [origin, requests] = process.argv.slice(2)
const TIMEOUT_MS = 300
/** What a bomb that goes on after its end adds in much less than the time that there is for it. */
const MOST_LEFT = 64e6
const PATIENCE_MS = 10_000
/** More than it stands for: nothing but the timeout ends it, however fast the machine is. */
const MOST_BYTES = 100e9

async function main() {
  await (await fetch(`${origin}/small`)).text()
  const before = held().rss
  const controller = new AbortController()
  const { signal } = controller
  const first = await fetch(`${origin}/bomb`, { signal, maxResponseSize: MOST_BYTES })
  let isOver = false
  const ended = first.text().then(
    () => 'whole',
    (error) => error.name,
  )
  ended.then(() => {
    isOver = true
  })
  let beside = 0
  for (; beside < Number(requests) && !isOver; beside++) {
    if ((await (await fetch(`${origin}/small`)).text()) !== 'small') throw new Error('not its own body')
  }
  controller.abort()
  const aborted = await ended

  const begun = performance.now()
  const error = await fetch(`${origin}/bomb`, { timeout: TIMEOUT_MS, maxResponseSize: MOST_BYTES })
    .then((response) => response.text())
    .then(
      () => 'none',
      ({ name }) => name,
    )
  const took = performance.now() - begun
  // What was being worked on is dropped when its turn is over, and collected at some time.
  const since = performance.now()
  let left = Number.POSITIVE_INFINITY
  while (left > MOST_LEFT && performance.now() - since < PATIENCE_MS) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    left = Math.min(left, held().rss - before)
  }
  console.log(JSON.stringify({ aborted, beside, error, took, left, mostLeft: MOST_LEFT }))
  process.exit()
}

main()
