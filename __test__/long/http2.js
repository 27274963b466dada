'use strict'

// HTTP/2 to a real nginx, at length: `npm run http2 [-- sequential [load]]`. Each client sends 200 requests at once and 10,000 one
// after another, over one connection; 50 clients of fetch send 30,000 GETs and as many POSTs to one with its default limit of requests
// a connection; a GOAWAY comes every 50 requests while 20 are under way; servers take 1, 2 and 10 streams of a first burst of 100; and
// nobody reads three bodies of 8 MB. Ends with code 1 if a request fails, is done twice, or opens what it need not.

const { http2Agent } = require('../support/http2')
const { clients, load, start, unread } = require('../support/http2-nginx')
const { readArguments } = require('../support/arguments')
const { hasNginx } = require('../support/nginx')
const { isNode, major } = require('../support/runtime')

// Fetches without an agent trust whom the process trusts.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

const { numbers } = readArguments()
const [sequential = 10_000, loaded = 30_000] = numbers

/** What a step defers and adopts ends with it. */
async function step(name, run, judge = () => true) {
  const [deferred, agents] = [[], []]
  const scope = { defer: (end) => deferred.push(end), adopt: (agent) => agents.push(agent) && agent }
  const began = performance.now()
  try {
    const counts = await run(scope)
    const { failed, wrong, duplicates = 0 } = counts
    const holds = failed === 0 && wrong === 0 && duplicates === 0 && judge(counts)
    if (!holds) process.exitCode = 1
    const seconds = ((performance.now() - began) / 1e3).toFixed(1)
    console.log(holds ? 'good ' : 'WRONG', `${name}: ${JSON.stringify(counts)}, ${seconds} s`)
  } catch (error) {
    process.exitCode = 1
    console.log('WRONG', `${name}: ${error.stack}`)
  }
  for (const agent of agents) agent.destroy()
  for (const end of deferred.reverse()) await end()
}

async function main() {
  if (!hasNginx) throw new Error('nginx is not installed')
  const isOne = ({ connections }) => connections === 1
  for (const [name, client] of Object.entries(clients)) {
    if (name === 'got' && isNode && major < 22) {
      console.log('left out: got 16 needs Node 22')
      continue
    }
    await step(
      `${name}, 200 at once and ${sequential} one after another`,
      async (scope) => {
        const server = await start(scope, 'http2_max_concurrent_streams 256; keepalive_requests 1000000;')
        const [send, agent] = [await client(), await http2Agent(scope)]
        const atOnce = await load(server, send, { requests: 200, lanes: 200, agent })
        const inTurn = await load(server, send, { requests: sequential, lanes: 1, agent })
        const sum = (key) => atOnce[key] + inTurn[key]
        const connections = Math.max(atOnce.connections, inTurn.connections)
        return { failed: sum('failed'), wrong: sum('wrong'), duplicates: sum('duplicates'), connections }
      },
      isOne,
    )
  }
  for (const name of ['fetch without an agent', 'fetch', 'https.request']) {
    for (const method of ['GET', 'POST']) {
      await step(`${name}, ${loaded} ${method}s of 50 clients, keepalive_requests 1000`, async (scope) => {
        const server = await start(scope, 'keepalive_requests 1000;')
        const agent = await http2Agent(scope)
        return load(server, await clients[name](), { requests: loaded, lanes: 50, agent, methods: [method] })
      })
    }
    await step(`${name}, GOAWAY every 50 requests, 20 at once`, async (scope) => {
      const server = await start(scope, 'keepalive_requests 50;')
      const agent = await http2Agent(scope)
      return load(server, await clients[name](), { requests: Math.ceil(loaded / 3), lanes: 20, agent })
    })
    for (const streams of [1, 2, 10]) {
      await step(`${name}, ${streams} streams at a time, a first burst of 100`, async (scope) => {
        const server = await start(scope, `http2_max_concurrent_streams ${streams};`)
        return load(server, await clients[name](), { requests: 100, lanes: 100, agent: await http2Agent(scope) })
      })
    }
  }
  for (const isAlone of [true, false]) {
    await step(`three unread bodies of 8 MB, ${isAlone ? 'without an agent' : 'over one'}`, (scope) =>
      unread(scope, { isAlone }),
    )
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
