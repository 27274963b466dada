'use strict'

// 1,000,000 requests through one agent of each scheme, to changing origins, some of them aborted, reset, refused: `npm run
// soak [-- requests] [http|https|http2]`. Among them are some of agents that live for a few requests, each with names, long paths,
// credentials and settings of TLS that nobody had before, and some go through proxies that nobody went through before. What the process holds is looked at after every tenth; from the
// second on it must not grow.

const { fetch } = require('../..')
const native = require('../../lib/bridge/native')
const { readArguments } = require('../support/arguments')
const { bodyOf } = require('../support/chaos-bodies')
const { Certificate } = require('../support/authority')
const { get, random } = require('../support/client')
const { held, megabytes } = require('../support/memory')
const { startRemote } = require('../support/remote')
const { http2, trusting } = require('../support/schemes')

const { numbers, chosen } = readArguments(undefined, { http2 })
const [requests = 1_000_000] = numbers
const LANES = 64
const SERVERS_A_SCHEME = 4
const MOST_RSS_GROWTH = 16e6
const MOST_HEAP_GROWTH = 2e6

const LENGTH = 100

const PASSERS_BY = 0.01
const REQUESTS_OF_A_PASSER_BY = 4
const THROUGH_PROXIES = 0.01
const LONG = 'x'.repeat(8_000)

/** What the engine may keep of those that have gone: its own bound on what it remembers. */
const MOST_HELD = 1_200

function one({ agent, port }, id, next) {
  return new Promise((resolve, reject) => {
    const dice = next()
    // Nobody listens on port 1; every such address is an origin of its own.
    const nowhere = dice < 0.005
    let isGivenUp = false
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
        // Of a response that is here, whoever gives up hears the end alone: the runtime takes the listeners of 'data' away.
        if (kind === 'length' && !isGivenUp && body !== bodyOf(id, LENGTH))
          reject(new Error(`request ${id} got ${body}`))
      })
    })
    request.on('error', () => {})
    request.on('close', resolve)
    const giveUp = () => {
      isGivenUp = true
      request.destroy()
    }
    if (next() < 0.02) setImmediate(giveUp)
  })
}

/** Whom servers prove to be, also under every name of `soak.test`; and an authority for clients. */
async function makeIdentity() {
  const root = await Certificate.make({ name: 'Root', ca: true })
  const names = { dns: ['localhost', '*.soak.test'], ip: ['127.0.0.1'] }
  const server = await root.issue({ name: 'localhost', ...names, use: 'server' })
  return { root, identity: { ca: root.pem, pem: server.pem, key: server.key } }
}

const toLoopback = (_host, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)

/** An agent that comes and goes, in which everything is new that a cache might keep. */
async function passBy({ agent: { protocol }, scheme, root, identity, port }, id, next) {
  const client = root && (await root.issue({ name: `client ${id}`, use: 'client' }))
  const options = { keepAlive: next() < 0.8, maxSockets: 2, freeSocketTimeout: 300, warnings: false }
  const isForgotten = next() < 0.4
  const own = new scheme.Agent(
    identity ? { ...options, ca: `${identity.ca}\n# ${id}`, cert: client.pem, key: client.key } : options,
  )
  for (let i = 0; i < REQUESTS_OF_A_PASSER_BY; i++) {
    // Over the runtime's sockets, which nobody closes for an agent that is forgotten.
    const named = isForgotten ? {} : { host: `n${id}-${i}.soak.test`, lookup: toLoopback }
    const path = `/length/${LENGTH}/${id}/?${id}-${i}-${LONG}`
    const headers = { authorization: `Bearer ${id}-${i}-${LONG.slice(0, 1_000)}` }
    const body =
      i % 2 === 0
        ? await text(get({ ...named, port, agent: own, path, headers }))
        : await (await fetch(`${protocol}//127.0.0.1:${port}${path}`, { agent: own, headers })).text()
    if (body !== bodyOf(id, LENGTH)) throw new Error(`request ${id} got ${body}`)
  }
  // The connections of the others close when they were idle for long enough.
  if (!isForgotten) own.destroy()
}

/** Through a proxy of its own, among the agent's other connections. */
async function throughProxy({ agent, port, proxyPort }, id) {
  const url = `${agent.protocol}//127.0.0.1:${port}/length/${LENGTH}/${id}`
  const proxy = `http://user${id}:password@p${id}.soak.test:${proxyPort}`
  const body = await (await fetch(url, { agent, proxy })).text()
  if (body !== bodyOf(id, LENGTH)) throw new Error(`request ${id} got ${body}`)
}

/** @param {number} dice */
function kindOf(dice) {
  if (dice < PASSERS_BY) return passBy
  return dice < PASSERS_BY + THROUGH_PROXIES ? throughProxy : one
}

function text(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (piece) => (body += piece))
      response.on('error', reject)
      response.on('end', () => resolve(body))
    })
  })
}

async function main() {
  const agents = []
  const origins = []
  const proxy = await startRemote('proxy-peer.js')
  for (const scheme of chosen) {
    const { root, identity } = scheme.name === 'http' ? {} : await makeIdentity()
    const options = { keepAlive: true, maxSockets: 24, maxTotalSockets: 64, lookup: toLoopback }
    const agent = new scheme.Agent(trusting(options, identity))
    agents.push(agent)
    for (let i = 0; i < SERVERS_A_SCHEME; i++) {
      const remote = await startRemote(scheme === http2 ? 'chaos-http2-peer.js' : 'chaos-peer.js', { identity })
      origins.push({ agent, scheme, root, identity, remote, port: remote.port, proxyPort: proxy.port })
    }
  }
  const next = random(1)
  let id = 0
  const upTo = async (end) => {
    const lane = async () => {
      while (id < end) {
        const origin = origins[Math.floor(next() * origins.length)]
        id++
        await kindOf(next())(origin, id, next)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }
  const rows = []
  for (let tenth = 1; tenth <= 10; tenth++) {
    const from = performance.now()
    await upTo(Math.round((requests * tenth) / 10))
    const perSecond = requests / 10 / ((performance.now() - from) / 1e3)
    // What is collected now gives up what it has in the engine a little later.
    held()
    await new Promise((resolve) => setTimeout(resolve, 300))
    const now = held()
    const engine = native.held()
    rows.push({ ...now, engine })
    console.log(
      `${String(id).padStart(9)} requests, ${perSecond.toFixed(0).padStart(6)}/s: RSS ${megabytes(now.rss)}, heap ${megabytes(now.heap)},`,
      `${now.descriptors} descriptors, ${now.handles} handles,`,
      JSON.stringify(engine),
    )
  }
  for (const agent of agents) agent.destroy()
  for (const { remote } of origins) {
    await remote.nobodyConnected(10_000)
    await remote.stop()
  }
  await proxy.nobodyConnected(10_000)
  await proxy.stop()
  const [, first] = rows
  const last = rows[9]
  if (last.rss - first.rss > MOST_RSS_GROWTH) throw new Error('RSS grows')
  if (last.heap - first.heap > MOST_HEAP_GROWTH) throw new Error('the heap grows')
  if (last.descriptors > first.descriptors + 64) throw new Error('descriptors leak')
  for (const [what, count] of Object.entries(last.engine))
    if (count > MOST_HELD) throw new Error(`${count} ${what} are kept`)
  if (last.handles > first.handles + 64) throw new Error('handles leak')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
