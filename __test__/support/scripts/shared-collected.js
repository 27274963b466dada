'use strict'

// Agents, one for each request, none kept: they are collected, the last one once its connection is closed, and the engine
// keeps nothing of theirs. Those that differ trust what no other trusts, and show what no other shows; the others share their
// connection. Run with access to the collector (`gc`).

const https = require('node:https')

const { HttpsAgent } = require('../../..')
const { held } = require('../../../lib/bridge/native')

const [port, ca, requests, freeSocketTimeout, cert, key] = process.argv.slice(2)
const differ = cert !== undefined
const collect = globalThis.gc ?? (() => globalThis.Bun.gc(true))
let alive = 0
const collected = new FinalizationRegistry(() => (alive -= 1))

function ask(number) {
  return new Promise((resolve, reject) => {
    const secure = differ ? { ca: `${ca}\n${number}`, cert: `${cert}\n${number}`, key } : { ca, shared: true }
    const agent = new HttpsAgent({
      keepAlive: true,
      warnings: false,
      freeSocketTimeout: Number(freeSocketTimeout),
      ...secure,
    })
    alive += 1
    collected.register(agent)
    https
      .get({ host: 'localhost', family: 4, port, agent }, (response) => response.resume().on('end', resolve))
      .on('error', reject)
  })
}

async function main() {
  for (let i = 0; i < Number(requests); i++) await ask(i)
  for (;;) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 5))
    const { keys, profiles, settings, trusts } = held()
    if (alive > 0 || keys > 0 || settings > 0) continue
    console.log(JSON.stringify({ requests: Number(requests), keys, profiles, settings, trusts }))
    return
  }
}

main()
