'use strict'

// One fetch from a server that ends the first handshake without a word; says what it came to, and what was counted.
//
// Arguments: `agent` or `client`, the file of the authority, the server's port.

const { readFileSync } = require('node:fs')

const { fetch, HttpsAgent, stats } = require('../../..')

const [, , way, authority, port] = process.argv

async function main() {
  const agent = way === 'agent' ? new HttpsAgent({ ca: readFileSync(authority) }) : undefined
  const body = await (await fetch(`https://localhost:${port}/`, { agent })).text()
  const origins = Object.values(stats().origins)
  const foreign = origins.reduce((sum, origin) => sum + (origin.foreign['tls-legacy-server'] ?? 0), 0)
  const errors = origins.flatMap((origin) => Object.keys(origin.errors)).length
  console.log(JSON.stringify({ body, foreign, errors }))
}

main()
