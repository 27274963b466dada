'use strict'

// Shows what becomes of a request and of fetches, with an agent and without, to a server that has nothing in common with any
// TLS: it says so to whoever greets it.

const { fetch, HttpsAgent, https } = require('keepwire')

const { plainServer } = require('../../support/secure')

const HANDSHAKE_FAILURE = Buffer.from([21, 3, 3, 0, 2, 2, 40])

const open = []
/** Closed at the end. */
const scope = { defer: (cleanUp) => open.push(cleanUp) }

async function main() {
  const { port } = await plainServer(scope, (socket) => socket.once('data', () => socket.end(HANDSHAKE_FAILURE)))
  const agent = new HttpsAgent({ keepAlive: true })
  const told = [
    await new Promise((resolve) => {
      https.get({ host: '127.0.0.1', port, agent }, resolve).on('error', ({ code }) => resolve(code))
    }),
  ]
  for (const init of [{ agent }, {}]) {
    const error = await fetch(`https://127.0.0.1:${port}/`, init).catch((error) => error)
    told.push(error instanceof TypeError && error.cause.code)
  }
  console.log(JSON.stringify({ told }))
  agent.destroy()
  for (const cleanUp of open) await cleanUp()
  process.exit()
}

main()
