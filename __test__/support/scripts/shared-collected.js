'use strict'

// Agents that share, one for each request, none kept: they are collected, the last one once its connection is closed, and
// the engine keeps nothing of theirs. Run with access to the collector (`gc`).

const https = require('node:https')

const { HttpsAgent } = require('../../..')
const { held } = require('../../../lib/native')

const [port, ca, requests] = process.argv.slice(2)
const collect = globalThis.gc ?? (() => globalThis.Bun.gc(true))
let alive = 0
const collected = new FinalizationRegistry(() => (alive -= 1))

function ask() {
  return new Promise((resolve, reject) => {
    const agent = new HttpsAgent({ keepAlive: true, shared: true, warnings: false, ca, freeSocketTimeout: 300 })
    alive += 1
    collected.register(agent)
    https
      .get({ host: 'localhost', family: 4, port, agent }, (response) => response.resume().on('end', resolve))
      .on('error', reject)
  })
}

async function main() {
  for (let i = 0; i < Number(requests); i++) await ask()
  for (;;) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
    const { keys, profiles } = held()
    if (alive > 0 || keys > 0) continue
    console.log(JSON.stringify({ requests: Number(requests), keys, profiles }))
    return
  }
}

main()
