'use strict'

// Requests beside streams that never end, and what ends such streams: see HELP.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { readArguments } = require('../support/arguments')
const { send } = require('../support/client')
const { ca, cert, key } = require('../support/fetch-tls')
const { floods, trickles } = require('../support/hostile-peer')
const { repeated } = require('../support/http2-peer')
const { startRemote } = require('../support/remote')
const { http2, trusting } = require('../support/schemes')
const { fetchAlone, runtimeHttp2Ways, runtimeWays, ways } = require('../support/streams')
const { delay } = require('../support/wait')

const HELP = `npm run streams [-- rounds [ms]] [http|https|http2]

Whatever a server sends without end (zeros, empty lines, chunks of a byte, bombs, 1xx, trickles), asked for by http.request,
our own request and fetch with and without an agent: requests beside it, 8 at a time, of a server of their own, in as many
rounds (3) of so many ms (300) each, and those that the runtime serves beside the same stream. The best round of each counts.
Says how long an abort takes, and by how much a deadline is late. Ends with code 1 if fewer than half are served, or if anything
is late by more than 100 ms. Over HTTP/2 the streams are floods of frames, and the runtime's client of them is node:http2. Node only.`

const LEAST_SHARE = 0.5
const MOST_LATE_MS = 100
const DEADLINE_MS = 300
/** Requests at a time. */
const LANES = 8
/** A stream that ends by itself is asked for again after that. */
const PAUSE_MS = 5
/** What a runtime may take until its stream has ended; then it is left alone. */
const PATIENCE_MS = 3_000

/** Which of an agent's deadlines are for these. */
const DUE = ['trickled-zeros', 'trickled-extension', 'trickled-empty-lines', 'trickled-head']

/** Over HTTP/2: frames without end, and those that come slowly (support/http2-peer.js). */
const FRAMES = Object.keys(repeated).map((name) => `flood/${name}`)
const FRAMES_DUE = ['pings', 'settings', 'windows', 'unknown'].map((name) => `trickle/${name}`)

/** Of all rounds of each way, the best rate: others use the machine as well. And how long it took to give up at worst. */
class Best {
  #ways = new Map()

  add(name, { rate, late }) {
    const before = this.of(name)
    this.#ways.set(name, { rate: Math.max(rate, before.rate), late: Math.max(late, before.late) })
  }

  of(name) {
    return this.#ways.get(name) ?? { rate: 0, late: 0 }
  }
}

/** Requests beside a stream, a second; and how long it took to give that up. */
async function beside({ begin, asked, agent, port, ms }) {
  let isOver = false
  let stream = begin(asked)
  const streams = (async () => {
    while (!isOver) {
      await stream.over
      await delay(PAUSE_MS)
      if (!isOver) stream = begin(asked)
    }
  })()
  await delay(30)
  let served = 0
  const began = performance.now()
  const requests = Array.from({ length: LANES }, async () => {
    while (!isOver) {
      await send({ port, path: '/own/1', agent })
      if (!isOver) served += 1
    }
  })
  await delay(ms)
  const rate = (served / (performance.now() - began)) * 1000
  isOver = true
  const given = performance.now()
  stream.destroy()
  await Promise.race([stream.over, delay(PATIENCE_MS)])
  const late = performance.now() - given
  await Promise.race([Promise.all([...requests, streams]), delay(PATIENCE_MS)])
  return { rate, late }
}

function verdict(holds, ...words) {
  if (!holds) process.exitCode = 1
  console.log(holds ? '    good ' : '    WRONG', ...words)
}

/** @param {import('../support/schemes').Scheme} scheme */
async function over(scheme, rounds, ms) {
  const isHttp2 = scheme === http2
  const identity = scheme.name === 'http' ? undefined : { ca, pem: cert, key }
  const [hostile, innocent] = [
    await startRemote(isHttp2 ? 'http2-peer.js' : 'hostile-peer.js', { identity }),
    await startRemote('hostile-peer.js', { identity }),
  ]
  const endless = isHttp2 ? FRAMES : [...Object.keys(floods), ...Object.keys(trickles), 'bomb']
  const options = trusting({ keepAlive: true }, identity)
  const agents = { ours: new scheme.Agent(options), runtime: new scheme.RuntimeAgent(options) }
  const asked = { scheme: isHttp2 ? 'https' : scheme.name, port: hostile.port }
  const measure = (begin, stream, agent) =>
    beside({ begin, asked: { ...asked, path: `/${stream}`, agent }, agent, port: innocent.port, ms })
  // What is hot is compiled.
  for (const agent of Object.values(agents))
    await measure(ways['http.request'], isHttp2 ? 'hello' : 'trickled-body', agent)
  const theirs = Object.entries(isHttp2 ? runtimeHttp2Ways : runtimeWays)
  const ours = Object.entries({ ...ways, 'fetch without an agent': fetchAlone })
  for (const stream of endless) {
    const [baseline, told] = [new Best(), new Best()]
    for (let round = 0; round < rounds; round++) {
      for (const [name, begin] of theirs) baseline.add(name, await measure(begin, stream, agents.runtime))
      for (const [name, begin] of ours) told.add(name, await measure(begin, stream, agents.ours))
    }
    const rates = theirs.map(([name]) => `${name} ${baseline.of(name).rate.toFixed(0)}/s`)
    console.log(`${scheme.name}, ${stream}: the runtime's ${rates.join(', ')}`)
    for (const [name] of ours) {
      const { rate, late } = told.of(name)
      const beside = baseline.of(name.startsWith('fetch') && !isHttp2 ? 'fetch' : theirs[0][0])
      const share = rate / beside.rate
      const holds = share >= LEAST_SHARE && late <= MOST_LATE_MS
      verdict(holds, `${name}: ${rate.toFixed(0)}/s, ${share.toFixed(2)} times; given up in ${late.toFixed(1)} ms`)
    }
  }
  console.log(`${scheme.name}: deadlines of ${DEADLINE_MS} ms`)
  const impatient = new scheme.Agent({ ...options, headersTimeout: DEADLINE_MS, bodyTimeout: DEADLINE_MS })
  const deadline = async (name, stream, begin, options) => {
    const began = performance.now()
    await begin({ ...asked, path: `/${stream}`, ...options }).over
    const late = performance.now() - began - DEADLINE_MS
    // What ends earlier has its own reason.
    verdict(late <= MOST_LATE_MS, `${name}, ${stream}: ${late > -50 ? `${late.toFixed(1)} ms late` : 'had ended'}`)
  }
  for (const stream of isHttp2 ? FRAMES_DUE : DUE) {
    for (const [name, begin] of Object.entries(ways)) await deadline(name, stream, begin, { agent: impatient })
  }
  for (const stream of endless) {
    await deadline('fetch, its timeout', stream, ways.fetch, { agent: agents.ours, timeout: DEADLINE_MS })
    await deadline('fetch without an agent, its timeout', stream, fetchAlone, { timeout: DEADLINE_MS })
  }
  for (const agent of [impatient, ...Object.values(agents)]) agent.destroy()
  await hostile.stop()
  await innocent.stop()
}

async function main() {
  const args = process.argv.slice(2)
  if (args.includes('--help')) return console.log(HELP)
  const { numbers, chosen } = readArguments(args, { http2 })
  const [rounds = 3, ms = 300] = numbers
  for (const scheme of chosen) await over(scheme, rounds, ms)
}

/** fetch without an agent trusts whom the process trusts. */
function trustingProcess() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  const file = path.join(folder, 'ca.pem')
  fs.writeFileSync(file, ca)
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: file, KEEPWIRE_STREAMS: '1' }
  const { status } = spawnSync(process.execPath, process.argv.slice(1), { stdio: 'inherit', env })
  fs.rmSync(folder, { recursive: true })
  process.exitCode = status ?? 1
}

if (process.env.KEEPWIRE_STREAMS === undefined) trustingProcess()
else {
  main().catch((error) => {
    console.error(error)
    process.exitCode = 1
  })
}
