'use strict'

// Sends a form with a file of many megabytes, and says by how many the process has grown.

const { fetch } = require('../../..')

const [url] = process.argv.slice(2)
// Far more than what a runtime leaves for its garbage collector meanwhile: Bun up to 90 MB, also of a form twice as large.
const MEGABYTES = 320

async function main() {
  // What the first form costs is not counted.
  await send(new Blob([new Uint8Array(4e6)]))
  const file = new Blob([new Uint8Array(MEGABYTES * 1e6).fill(1)])
  const before = process.memoryUsage.rss()
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 5)
  const status = await send(file)
  clearInterval(watch)
  most = Math.max(most, process.memoryUsage.rss())
  console.log(JSON.stringify({ status, megabytes: MEGABYTES, grown: Math.round((most - before) / 1e6) }))
}

/** @param {Blob} file */
async function send(file) {
  const body = new FormData()
  body.append('file', file, 'large.bin')
  const response = await fetch(url, { method: 'POST', body })
  await response.text()
  return response.status
}

main()
