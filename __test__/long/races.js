'use strict'

// 20,000 requests that race with the server closing their connection: `npm run races [-- requests] [http|https|http2]
// [proxy]`. A table
// of errors, requests that the server read twice, and connections, for keepwire and others: with a server that closes 0
// to 10 ms after its last response, and with one that has an idle timeout of 50 ms and is up to 5 ms early or late; over HTTP/2,
// with a GOAWAY as servers do, many sessions at a time; and of keepwire through a proxy that closes in the server's place. With `proxy`: of keepwire
// alone, past one and through it. Ends
// with code 1 if a GET of ours fails, more POSTs do than it takes to learn of the timeout, or anything is done twice.

const agentkeepalive = require('agentkeepalive')
const undici = require('undici')

const { readArguments } = require('../support/arguments')
const { send } = require('../support/client')
const { race } = require('../support/races')
const { http2, trusting } = require('../support/schemes')

const given = process.argv.slice(2)
const isForProxy = given.includes('proxy')
const { numbers, chosen } = readArguments(
  given.filter((argument) => argument !== 'proxy'),
  { http2 },
)
const [requests = 20_000] = numbers

/** A racer that sends through the runtime's own request and an agent. */
function overAgent(name, Agent, identity) {
  const agent = new Agent(trusting({ keepAlive: true }, identity))
  return { name, send: async (options) => (await send({ ...options, agent })).body, close: () => agent.destroy() }
}

function overUndici(scheme, identity) {
  const dispatcher = new undici.Agent({ connect: trusting({}, identity) })
  const sent = ({ port, path, method }) =>
    undici.request(`${scheme.name}://127.0.0.1:${port}${path}`, { method, dispatcher })
  return {
    name: 'undici.request',
    send: async (options) => (await sent(options)).body.text(),
    close: () => dispatcher.destroy(),
  }
}

/** A session has no idle moment while many use it, so each agent has few requests at a time. */
function overSessions(identity) {
  const agents = Array.from({ length: LANES / 2 }, () => new http2.Agent(trusting({ keepAlive: true }, identity)))
  let next = 0
  return {
    name: 'keepwire',
    isOurs: true,
    send: async (options) => (await send({ ...options, agent: agents[next++ % agents.length] })).body,
    close: () => agents.forEach((agent) => agent.destroy()),
  }
}

function overUndiciSessions(identity) {
  const dispatchers = Array.from(
    { length: LANES / 2 },
    () => new undici.Agent({ connect: trusting({}, identity), allowH2: true, pipelining: LANES }),
  )
  let next = 0
  return {
    name: 'undici.request, allowH2',
    send: async ({ port, path, method }) => {
      const dispatcher = dispatchers[next++ % dispatchers.length]
      return (await undici.request(`https://127.0.0.1:${port}${path}`, { method, dispatcher })).body.text()
    },
    close: () => Promise.all(dispatchers.map((dispatcher) => dispatcher.destroy())),
  }
}

/** @returns {any[]} */
function racers(scheme, identity) {
  if (scheme === http2) return isForProxy ? [] : [overSessions(identity), overUndiciSessions(identity)]
  const ours = [
    { ...overAgent('keepwire', scheme.Agent, identity), isOurs: true },
    { ...overAgent('keepwire, through a proxy', scheme.Agent, identity), isOurs: true, isProxied: true },
  ]
  if (isForProxy) return ours
  return [
    ...ours,
    overAgent("runtime's own agent", scheme.RuntimeAgent, identity),
    overAgent('agentkeepalive', scheme.name === 'https' ? agentkeepalive.HttpsAgent : agentkeepalive, identity),
    overUndici(scheme, identity),
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
  console.log(`${''.padEnd(36)}${columns.map((column) => column.padStart(13)).join('')}`)
  let failed = false
  for (const scheme of chosen) {
    const identity = await scheme.identity()
    for (const method of ['GET', 'POST']) {
      for (const racer of racers(scheme, identity)) {
        const result = await race(racer, {
          method,
          requests,
          seed: 1,
          idleMs,
          lanes: LANES,
          identity,
          http2: scheme === http2,
          isProxied: racer.isProxied,
        })
        const cells = columns.map((column) => String(result[column]).padStart(13)).join('')
        const title = `${scheme.name.padEnd(7)}${method.padEnd(6)}${racer.name}`
        console.log(`${title.padEnd(36)}${cells}   ${JSON.stringify(result.codes)}`)
        if (racer.isOurs)
          failed ||= result.wrong > 0 || result.duplicates > 0 || result.errors > (method === 'GET' ? 0 : LANES)
      }
    }
  }
  return failed
}

main()
