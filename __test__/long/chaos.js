'use strict'

// 50,000 requests to a server that resets, stalls, trickles, sends garbage, answers early, closes in every phase and
// says things that nobody asked: `npm run chaos [-- requests [seed]] [http|https|http2] [proxy]`. Each settles exactly once, with its own
// body or an error; memory and descriptors end where they began. Over HTTP/2 the server breaks that protocol's rules.
// With `proxy`, all of it goes through a SOCKS proxy: a tunnel shows all that the server does.

const { readArguments } = require('../support/arguments')
const { chaos, HURRY } = require('../support/chaos')
const { chaosOverHttp2 } = require('../support/chaos-http2')
const { held, megabytes } = require('../support/memory')
const { startRemote } = require('../support/remote')
const { http2, trusting } = require('../support/schemes')
const { socksProxy } = require('../support/socks')

const given = process.argv.slice(2)
const isProxied = given.includes('proxy')
const { numbers, chosen } = readArguments(
  given.filter((argument) => argument !== 'proxy'),
  { http2 },
)
const [requests = 50_000, seed = Date.now() % 1_000_000] = numbers
const MOST_GROWTH = 32 * 1024 * 1024
/** What leaks grows each time; what a loaded machine has more of at once does not. */
const MOST_RUNS = 3

/** @param {Pick<import('../support/schemes').Scheme, 'Agent' | 'identity'> & { name: string }} scheme */
async function over(scheme) {
  console.log(`${scheme.name}: ${requests} requests, seed ${seed}`)
  const identity = await scheme.identity()
  const isHttp2 = scheme === http2
  /** @type {(() => unknown)[]} */
  const ends = []
  const scope = /** @type {any} */ ({ defer: (/** @type {() => unknown} */ end) => ends.push(end) })
  const proxy = isProxied ? await socksProxy(scope) : undefined
  const remote = await startRemote(isHttp2 ? 'chaos-http2-peer.js' : 'chaos-peer.js', { identity })
  const run = async (n, from) => {
    const options = {
      keepAlive: true,
      maxSockets: isHttp2 ? 64 : 32,
      headersTimeout: 60_000,
      ...(proxy && { proxy: `socks5h://127.0.0.1:${proxy.port}` }),
    }
    const agent = new scheme.Agent(trusting(options, identity))
    const hurried = new scheme.Agent(trusting({ ...options, ...HURRY }, identity))
    const counts = isHttp2
      ? await chaosOverHttp2({ agent, remote, requests: n, seed: from })
      : await chaos({ agent, hurried, remote, requests: n, seed: from, isProxied })
    agent.destroy()
    hurried.destroy()
    await remote.nobodyConnected(10_000)
    return counts
  }
  // A first run brings the heap and the engine to their working size.
  await run(Math.min(requests, 10_000), seed + 1)
  for (let times = 1; ; times++) {
    const before = held()
    const counts = await run(requests, seed)
    const after = held()
    for (const [label, count] of Object.entries(counts).sort()) console.log(`${String(count).padStart(8)}  ${label}`)
    console.log(`descriptors ${before.descriptors} → ${after.descriptors}`)
    console.log(`RSS ${megabytes(before.rss)} → ${megabytes(after.rss)}`)
    if (after.descriptors > before.descriptors) throw new Error('descriptors leak')
    if (after.rss <= before.rss + MOST_GROWTH) break
    if (times === MOST_RUNS) throw new Error('memory grows')
    console.log('more than it may be: once more')
  }
  for (const end of ends) await end()
  await remote.stop()
}

async function main() {
  for (const scheme of chosen) await over(scheme)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
