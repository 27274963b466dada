'use strict'

const { once } = require('node:events')
const { Worker, isMainThread } = require('node:worker_threads')

const { Agent, HttpsAgent, fetch, totals } = require('keepwire')

const { URL: url } = process.env
const agent = new (url.startsWith('https:') ? HttpsAgent : Agent)({ keepAlive: true, shared: true })

async function work() {
  for (let i = 0; i < 3; i++) await (await fetch(url, { agent })).text()
}

async function main() {
  // This thread has used the origin, so it may be left connections to it.
  await work()
  for (let i = 0; i < 2; i++) await once(new Worker(__filename), 'exit')
  await work()
  const { created, reused } = totals()[`${new URL(url).protocol}//${new URL(url).host}`]
  console.log('connections', created, 'reused', reused)
  agent.destroy()
}

if (isMainThread) main()
else work()
