'use strict'

// 20,000 requests that race with the server closing their connection: `npm run races [-- requests]`. A table of errors,
// requests that the server read twice, and connections, for keepwire and others: with a server that closes 0 to 10 ms
// after its last response, and with one that has an idle timeout of 50 ms and is up to 5 ms early or late. Ends with code
// 1 if a GET of ours fails, more POSTs do than it takes to learn of the timeout, or anything is done twice.

const http = require('node:http')

const { race } = require('../support/races')
const { send } = require('../support/client')
const { agentUnderTest } = require('../support/runtime')

const requests = Number(process.argv[2] || 20_000)
const KEEP_ALIVE = { keepAlive: true }

/** A racer that sends through the runtime's http.request and an agent. */
function overAgent(name, agent) {
  return { name, send: async (options) => (await send({ ...options, agent })).body, close: () => agent.destroy() }
}

function overUndici() {
  const { Agent, request } = require('undici')
  const dispatcher = new Agent()
  return {
    name: 'undici.request',
    send: async ({ port, path, method }) =>
      (await request(`http://127.0.0.1:${port}${path}`, { method, dispatcher })).body.text(),
    close: () => dispatcher.destroy(),
  }
}

function racers() {
  const Theirs = require('agentkeepalive')
  return [
    overAgent('keepwire', new (agentUnderTest())(KEEP_ALIVE)),
    overAgent("runtime's own agent", new http.Agent(KEEP_ALIVE)),
    overAgent('agentkeepalive', new Theirs(KEEP_ALIVE)),
    overUndici(),
  ]
}

/** Requests at a time: all of the first ones may be lost before anything is learned. */
const LANES = 40

async function main() {
  console.log(`${requests} requests each`)
  let failed = false
  for (const idleMs of [5, 50]) failed = (await compare(idleMs)) || failed
  console.log('\nunread: of the errors, requests that the server has not read; duplicates: reads beyond the first')
  if (failed) process.exitCode = 1
}

/** @param {number} idleMs @returns {Promise<boolean>} whether ours failed */
async function compare(idleMs) {
  console.log(
    `\nThe server closes idle connections after ${idleMs - 5} to ${idleMs + 5} ms, when the next request comes\n`,
  )
  const columns = ['errors', 'unread', 'wrong', 'duplicates', 'connections']
  console.log(`${'method'.padEnd(8)}${''.padEnd(22)}${columns.map((column) => column.padStart(13)).join('')}`)
  let failed = false
  for (const method of ['GET', 'POST']) {
    for (const racer of racers()) {
      const result = await race(racer, { method, requests, seed: 1, idleMs, lanes: LANES })
      const cells = columns.map((column) => String(result[column]).padStart(13)).join('')
      console.log(`${method.padEnd(8)}${racer.name.padEnd(22)}${cells}   ${JSON.stringify(result.codes)}`)
      if (racer.name === 'keepwire')
        failed ||= result.wrong > 0 || result.duplicates > 0 || result.errors > (method === 'GET' ? 0 : LANES)
    }
  }
  return failed
}

main()
