'use strict'

// Says what the runtime's own request, one over our agent, and a fetch make of a server, with the authorities of the process.

const https = require('node:https')

const kw = require('../../..')
const { byFetch, byRequest } = require('../judging')

async function main() {
  const port = Number(process.argv[2])
  const agents = [new https.Agent(), new kw.HttpsAgent()]
  const [runtime, agent] = await Promise.all(agents.map((one) => byRequest(https.request, { port, agent: one })))
  const fetch = await byFetch(`https://localhost:${port}/`)
  for (const one of agents) one.destroy()
  console.log(JSON.stringify({ runtime, agent, fetch }))
}

main()
