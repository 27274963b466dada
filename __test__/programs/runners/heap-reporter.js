'use strict'

// A reporter of jest's: what the heap holds after each file, when all that can be collected was.

/** What a collection sets free may set more free in a later tick. */
const COLLECTIONS = 8

const heaps = []

module.exports = class {
  async onTestFileResult() {
    for (let i = 0; i < COLLECTIONS; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      globalThis.gc()
    }
    heaps.push(process.memoryUsage().heapUsed / 1e6)
  }

  onRunComplete(_contexts, { numPassedTests }) {
    console.log(JSON.stringify({ heaps, numPassedTests }))
  }
}
