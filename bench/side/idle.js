'use strict'

// A process that opens many connections, lets all be idle, and says what memory each of them takes.

const http = require('node:http')
const https = require('node:https')
const { setTimeout: sleep } = require('node:timers/promises')

const { maker, connections, origin, ca } = JSON.parse(process.argv[2])
const secure = origin.startsWith('https:')
/** The server holds each response for so long that all requests are under way before the first ends. */
const HELD_MS = 1500 + connections
const AT_ONCE = 250
/** What was freed is given back, and what was put off is done. */
const SETTLES_MS = 1000

function agentOf() {
  const options = { keepAlive: true, maxSockets: connections, maxFreeSockets: connections, ca }
  if (maker === 'runtime') return new (secure ? https : http).Agent(options)
  const { Agent, HttpsAgent } = require('../..')
  return new (secure ? HttpsAgent : Agent)(options)
}

function get(agent, path) {
  return new Promise((resolve, reject) => {
    ;(secure ? https : http)
      .get(origin + path, { agent }, (response) => response.resume().once('end', resolve))
      .once('error', reject)
  })
}

async function rss() {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.()
    await sleep(SETTLES_MS / 3)
  }
  return process.memoryUsage.rss()
}

async function main() {
  const agent = agentOf()
  // Code is compiled, and buffers have their size.
  await Promise.all(Array.from({ length: 200 }, () => get(agent, '/after/1')))
  const before = await rss()
  const opened = connections - 200
  const all = []
  while (all.length < connections) {
    all.push(get(agent, `/after/${HELD_MS}`))
    // No more at once than systems let wait to be accepted.
    if (all.length % AT_ONCE === 0) await sleep(50)
  }
  await Promise.all(all)
  const after = await rss()
  process.stdout.write(JSON.stringify({ kilobytes: (after - before) / 1024 / opened }), () => process.exit())
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
