'use strict'

// Responses that are dropped unread: collected, they free their connections and the places that an agent has for them.
// Run with access to the collector (`gc`).

const { fetch, Agent } = require('../../..')

const [url, count] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 2 })
const collect = globalThis.gc ?? (globalThis.Bun ? () => globalThis.Bun.gc(true) : undefined)

async function main() {
  for (let i = 0; i < Number(count); i++) {
    const timer = setInterval(collect, 5)
    await fetch(url, { agent })
    clearInterval(timer)
  }
  console.log(JSON.stringify({ fetched: Number(count) }))
  process.exit()
}

main()
