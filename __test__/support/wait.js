'use strict'

// Waiting for things to happen. Nothing here measures time to decide; deadlines only turn a hang into a message.

const { once } = require('node:events')

/** Lets the event loop turn a few times. */
async function turns(n = 1) {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Resolves when `condition()` is truthy; looks again at each turn of the event loop. */
async function until(condition, what = String(condition), deadlineMs = 15_000) {
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

/** A promise and its resolvers. */
function deferred() {
  const result = {}
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }))
  return result
}

module.exports = { deferred, delay, once, settled, turns, until }
