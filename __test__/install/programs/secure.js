'use strict'

// Shows what becomes of requests over TLS, and of the connections that a server counts: `secure.js` through the runtime's
// node:https, `secure.js keepwire/https` through that.

const runtime = require('node:https')

const { makeAuthority } = require('../../support/authority')
const { listen, tellSocket } = require('../../support/secure')

const https = require(process.argv[2] ?? 'node:https')

const ROUNDS = 3

const open = []
/** Closed at the end. */
const scope = { defer: (cleanUp) => open.push(cleanUp) }

/** @returns {Promise<string>} what came of it: a body, or an error's code */
function send(options) {
  return new Promise((resolve) => {
    const request = https.request({ host: 'localhost', family: 4, method: 'POST', ...options }, (response) => {
      let text = ''
      const { authorized, encrypted } = tellSocket(response.socket)
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('error', (error) => resolve(error.code))
      response.on('end', () => setImmediate(resolve, `${text} ${encrypted} ${authorized}`))
    })
    request.on('error', (error) => resolve(error.code))
    request.end('body')
  })
}

async function main() {
  const { root, server: identity } = await makeAuthority()
  const answer = (request, response) => request.resume().on('end', () => response.end(request.method))
  const server = await listen(scope, runtime.createServer({ cert: identity.pem, key: identity.key }, answer))
  const { port } = server
  const agents = []
  const rounds = async (options, count = ROUNDS) => {
    const agent = new https.Agent(options)
    agents.push(agent)
    const before = server.connections
    const told = []
    for (let round = 0; round < count; round += 1) told.push(await send({ port, agent }))
    return { told, connections: server.connections - before, agent }
  }
  const kept = await rounds({ keepAlive: true, ca: root.pem })
  const notKept = await rounds({ keepAlive: false, ca: root.pem })
  const untrusted = await rounds({ keepAlive: true }, 1)
  const wrongName = await send({ port, agent: kept.agent, servername: 'example.com' })
  const unverified = await send({ port, agent: untrusted.agent, rejectUnauthorized: false })
  const untrustedAgain = await send({ port, agent: untrusted.agent })
  console.log(
    JSON.stringify({
      kept: [kept.told, kept.connections],
      notKept: notKept.connections,
      untrusted: [...untrusted.told, untrustedAgain],
      wrongName,
      unverified,
    }),
  )
  for (const agent of agents) agent.destroy()
  for (const cleanUp of open) await cleanUp()
  process.exit()
}

main()
