'use strict'

// Uses that keepwire warns of, and such that it must not: which one is the first argument. Prints each warning. With an
// identity, over https.

const http = require('node:http')
const https = require('node:https')

const { get: begin } = require('../client')
const { agentUnderTest } = require('../runtime')
const { trusting } = require('../schemes')
const { identity } = require('../server-process')

const Agent = agentUnderTest(identity ? 'https' : 'http')
const which = process.argv[2]
const warnings = !which.endsWith('-silent')

process.on('warning', ({ code, message, detail }) => console.log(JSON.stringify({ code, message, detail })))

const answer = (request, response) => {
  if (request.url === '/slow') setTimeout(() => response.end('ok'), 2_500)
  else response.end('x'.repeat(1_000))
}
const server = identity
  ? https.createServer({ cert: identity.pem, key: identity.key }, answer)
  : http.createServer(answer)

function get(agent, path, isRead = true) {
  return new Promise((resolve, reject) => {
    const request = begin({ port: server.address().port, path, agent }, (response) => {
      if (!isRead) return resolve(response)
      response.resume()
      response.on('end', resolve)
    })
    request.on('error', reject)
  })
}

async function main() {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  if (which.startsWith('agents')) {
    const agents = []
    for (let i = 0; i < 30; i++) {
      const agent = new Agent(trusting({ keepAlive: true, warnings }, identity))
      agents.push(agent)
      await get(agent, '/')
      if (which === 'agents-reused') await get(agent, '/')
    }
    for (const agent of agents) agent.destroy()
  } else {
    const agent = new Agent(trusting({ keepAlive: true, maxSockets: 1, warnings }, identity))
    const first = which === 'slow' ? get(agent, '/slow') : await get(agent, '/unread', false)
    const queued = get(agent, '/queued')
    queued.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 1_800))
    if (which !== 'slow') first.resume()
    await queued
    await first
    agent.destroy()
  }
  server.close()
}

main()
