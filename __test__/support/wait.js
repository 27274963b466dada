'use strict'

// Waiting for things to happen. Nothing here measures time to decide; deadlines only turn a hang into a message.

const { once } = require('node:events')

/** Lets the event loop turn a few times. */
async function turns(n = 1) {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Resolves when `condition()` is truthy; looks again at each turn of the event loop. */
async function until(condition, what = String(condition), deadlineMs = 30_000) {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const value = condition()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** Resolves when `read()` gives the same value for `quietMs`: for what ends by nothing happening any more. */
async function settled(read, quietMs = 250) {
  let last = read()
  let since = Date.now()
  while (Date.now() - since < quietMs) {
    await delay(10)
    const now = read()
    if (now !== last) {
      last = now
      since = Date.now()
    }
  }
  return last
}

function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * For what holds only if the machine is quick enough: a request that is answered within a deadline, a connection that is used
 * again before its time is over. A loaded machine is slow, never too quick, so `attempt` is made again with more time; what
 * holds with none of the times is a failure.
 * @param {(ms: number) => Promise<unknown>} attempt
 * @param {number[]} [times]
 */
async function withMoreTime(attempt, times = [40, 200, 1_000, 4_000]) {
  for (const ms of times.slice(0, -1)) {
    try {
      return await attempt(ms)
    } catch {
      // The last one says why.
    }
  }
  return attempt(times[times.length - 1])
}

/** For what a loaded machine may be too slow for, but never too quick: it holds if it holds once. */
function repeatedly(attempt, times = 4) {
  return withMoreTime(attempt, Array(times).fill(0))
}

/** A promise and its resolvers. */
function deferred() {
  const result = {}
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }))
  return result
}

module.exports = { deferred, delay, once, repeatedly, settled, turns, until, withMoreTime }
