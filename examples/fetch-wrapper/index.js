'use strict'

const { Agent, HttpsAgent, fetch } = require('keepwire')
const { wrapped } = require('./wrapped.js')

async function main() {
  const api = new URL(process.env.API_URL)
  const agent = new (api.protocol === 'https:' ? HttpsAgent : Agent)({ keepAlive: true, maxSockets: 10 })
  const signIn = async () => (await fetch(new URL('token', api), { agent, method: 'POST' })).text()
  const ask = wrapped({ agent, signIn, log: ({ status }) => console.log('answered', status) })

  const bodies = await Promise.all([1, 2, 3].map(async (id) => (await ask(new URL(`items/${id}`, api))).text()))
  console.log('items', bodies.join())
  const { created, reused } = Object.values(agent.stats().origins)[0]
  console.log('connections', created, 'reused', reused)
  await agent.close({ deadline: 1_000 })
}

main()
