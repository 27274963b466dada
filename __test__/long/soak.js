'use strict'

// 1,000,000 requests through one agent of each scheme, to changing origins, some of them aborted, reset, refused: `npm run
// soak [-- requests] [http|https]`. What the process holds is looked at after every tenth; from the second on it must not
// grow.

const { readArguments } = require('../support/arguments')
const { bodyOf } = require('../support/chaos-bodies')
const { get, random } = require('../support/client')
const { held, megabytes } = require('../support/memory')
const { startRemote } = require('../support/remote')
const { trusting } = require('../support/schemes')

const { numbers, chosen } = readArguments()
const [requests = 1_000_000] = numbers
const LANES = 64
const SERVERS_A_SCHEME = 4
const MOST_RSS_GROWTH = 16e6
const MOST_HEAP_GROWTH = 2e6

const LENGTH = 100

function one({ agent, port }, id, next) {
  return new Promise((resolve, reject) => {
    const dice = next()
    // Nobody listens on port 1; every such address is an origin of its own.
    const nowhere = dice < 0.005
    const kind = dice < 0.03 ? 'reset' : dice < 0.05 ? 'drop' : dice < 0.06 ? 'fin-after' : 'length'
    const host = nowhere ? `127.${(id >> 16) & 0xff}.${(id >> 8) & 0xff}.${1 + (id % 254)}` : '127.0.0.1'
    const request = get({ host, port: nowhere ? 1 : port, agent, path: `/${kind}/${LENGTH}/${id}` }, (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text) => {
        body += text
      })
      response.on('error', () => {})
      response.on('end', () => {
        if (kind === 'length' && body !== bodyOf(id, LENGTH)) reject(new Error(`request ${id} got ${body}`))
      })
    })
    request.on('error', () => {})
    request.on('close', resolve)
    if (next() < 0.02) setImmediate(() => request.destroy())
  })
}

async function main() {
  const agents = []
  const origins = []
  for (const scheme of chosen) {
    const identity = await scheme.identity()
    const agent = new scheme.Agent(trusting({ keepAlive: true, maxSockets: 24, maxTotalSockets: 64 }, identity))
    agents.push(agent)
    for (let i = 0; i < SERVERS_A_SCHEME; i++) {
      const remote = await startRemote('chaos-peer.js', { identity })
      origins.push({ agent, remote, port: remote.port })
    }
  }
  const next = random(1)
  let id = 0
  const upTo = async (end) => {
    const lane = async () => {
      while (id < end) await one(origins[Math.floor(next() * origins.length)], ++id, next)
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }
  const rows = []
  for (let tenth = 1; tenth <= 10; tenth++) {
    const from = performance.now()
    await upTo(Math.round((requests * tenth) / 10))
    const perSecond = requests / 10 / ((performance.now() - from) / 1e3)
    await new Promise((resolve) => setTimeout(resolve, 100))
    const now = held()
    rows.push(now)
    console.log(
      `${String(id).padStart(9)} requests, ${perSecond.toFixed(0).padStart(6)}/s: RSS ${megabytes(now.rss)}, heap ${megabytes(now.heap)},`,
      `${now.descriptors} descriptors, ${now.handles} handles`,
    )
  }
  for (const agent of agents) agent.destroy()
  for (const { remote } of origins) {
    await remote.nobodyConnected(10_000)
    await remote.stop()
  }
  const [, first] = rows
  const last = rows[9]
  if (last.rss - first.rss > MOST_RSS_GROWTH) throw new Error('RSS grows')
  if (last.heap - first.heap > MOST_HEAP_GROWTH) throw new Error('the heap grows')
  if (last.descriptors > first.descriptors + 64) throw new Error('descriptors leak')
  if (last.handles > first.handles + 64) throw new Error('handles leak')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
