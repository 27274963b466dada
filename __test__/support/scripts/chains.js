'use strict'

// Says what the runtime's own request and a fetch without an agent make of each chain in a file.

const { readFileSync } = require('node:fs')
const https = require('node:https')

const { byFetch, byRequest, close, serve } = require('../judging')

async function main() {
  for (const chain of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
    const server = await serve(chain)
    if (server === null) continue
    const { port } = server.address()
    const { host = 'localhost', title } = chain
    const agent = new https.Agent()
    const runtime = await byRequest(https.request, { host, port, agent })
    agent.destroy()
    const fetch = await byFetch(`https://${host}:${port}/`)
    await close(server)
    console.log(JSON.stringify({ title, runtime, fetch }))
  }
  console.log(JSON.stringify({ done: true }))
}

main()
