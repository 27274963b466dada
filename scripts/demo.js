'use strict'

// `npm run demo [-- http://host/path]`: what reused connections save, in numbers. Without an address it measures an
// embedded server behind an emulated link and fails unless keepwire is exact; with one it sends that server few requests.
// `npm run demo -- --dashboard`: traffic of many kinds, and the dashboard to look at it, until it is ended.

const http = require('node:http')
const { runScript } = require('./report.js')
const { ensureReady } = require('./setup.js')
const { startLink, ONE_WAY_MS } = require('./demo/link.js')
const { measureSide, startPilot, summarize } = require('./demo/measure.js')
const { explainFailure, parseTarget } = require('./demo/target.js')
const print = require('./demo/print.js')

const EMBEDDED = [
  { title: '20 requests, one after another', requests: 20, parallel: false, maxSockets: 1 },
  { title: '200 requests in parallel, maxSockets: 10', requests: 200, parallel: true, maxSockets: 10 },
]
const REMOTE = [
  { title: '5 requests, one after another', requests: 5, parallel: false, maxSockets: 1 },
  { title: '10 requests in parallel, maxSockets: 2', requests: 10, parallel: true, maxSockets: 2 },
]
const FASTER_PERCENT = 45
const SAVED_PERCENT = 95

/** The three ways to use the same unmodified `get`; the first is what the others are compared with. */
function makeSides(client, KeepwireAgent) {
  return [
    {
      name: 'a connection per request',
      // 'close' as well: with a finite maxSockets, node:http hands even such connections on to queued requests.
      headers: { connection: 'close' },
      agent: (maxSockets) => new client.Agent({ keepAlive: false, maxSockets }),
    },
    {
      name: `${print.runtimeName()}'s keep-alive agent`,
      headers: {},
      agent: (maxSockets) => new client.Agent({ keepAlive: true, maxSockets }),
    },
    {
      name: 'keepwire',
      headers: {},
      agent: (maxSockets) => new KeepwireAgent({ keepAlive: true, maxSockets }),
    },
  ]
}

/**
 * Measures every side, the baseline first, and prints its row as soon as it is known.
 * @returns {Promise<import('./demo/measure.js').Row>} keepwire's row, the last one
 */
async function compare(scenario, sides, run) {
  print.title(scenario.title)
  const rows = []
  for (const side of sides) {
    const row = summarize(await run(side, scenario), scenario.maxSockets, rows[0])
    if (rows.length === 0) print.tableHead(row)
    print.tableRow(side.name, row)
    rows.push(row)
  }
  print.chart(rows.map(({ wallMs }, at) => ({ name: sides[at].name, wallMs })))
  const [keepwire] = rows.slice(-1)
  print.exactly(keepwire.connections)
  return keepwire
}

async function demoEmbedded(KeepwireAgent) {
  const sides = makeSides(http, KeepwireAgent)
  const link = await startLink()
  let pilot
  try {
    const throughLink = async (side, scenario, oneWayMs = ONE_WAY_MS) => {
      const { url, close } = await link.open(oneWayMs)
      pilot.begin()
      const result = await measureSide(http.get, url, side, scenario)
      return { ...result, roundTripMs: pilot.end(), connections: await close() }
    }
    pilot = await startPilot((await link.open(ONE_WAY_MS)).url)
    // First calls of a fresh process compile code; that is not what is compared here.
    for (const side of sides) await throughLink(side, { requests: 10, parallel: false, maxSockets: 1 }, 0)
    print.embeddedIntroduction(ONE_WAY_MS)

    const [sequential, parallel] = EMBEDDED
    const inSequence = [await compare(sequential, sides, throughLink)]
    const inParallel = await compare(parallel, sides, throughLink)
    let checks = judge(inSequence, inParallel)
    const missed = checks.filter((check) => !check.reached)
    if (missed.length > 0 && missed.every((check) => check.timing)) {
      print.paragraph('A time was missed. The machine may have been busy, so times (not counts) get one more chance:')
      inSequence.push(await compare(sequential, sides, throughLink))
      checks = judge(inSequence, inParallel)
    }
    print.checks(checks)
    return checks.every((check) => check.reached)
  } finally {
    pilot?.stop()
    link.stop()
  }
}

/**
 * Counts must hold in every run, times in the last one.
 * @param {import('./demo/measure.js').Row[]} inSequence
 * @param {import('./demo/measure.js').Row} inParallel
 */
function judge(inSequence, inParallel) {
  const { firstMs, laterMs, savedPercent } = inSequence[inSequence.length - 1]
  const faster = 100 * (1 - laterMs / firstMs)
  return [
    {
      text: 'exactly 1 connection for 20 requests one after another',
      reached: inSequence.every((row) => row.connections === 1),
    },
    { text: 'exactly 10 connections for 200 requests in parallel', reached: inParallel.connections === 10 },
    {
      text: `later requests ${print.percent(faster)} faster than the first (asked: at least ${FASTER_PERCENT} %)`,
      reached: faster >= FASTER_PERCENT,
      timing: true,
    },
    {
      text: `connection overhead of repeated requests down by ${print.percent(savedPercent)} (asked: more than ${SAVED_PERCENT} %)`,
      reached: savedPercent !== null && savedPercent > SAVED_PERCENT,
      timing: true,
    },
  ]
}

async function demoRemote({ url, client, KeepwireAgent }) {
  const sides = makeSides(client, KeepwireAgent)
  const total = sides.length * REMOTE.reduce((sum, scenario) => sum + scenario.requests, 0)
  print.remoteIntroduction(url, total)
  const run = (side, scenario) => measureSide(client.get, url, side, scenario)
  const statuses = new Set()
  for (const scenario of REMOTE) {
    const row = await compare(scenario, sides, run)
    for (const status of row.statuses) statuses.add(status)
  }
  print.remoteNotes(statuses)
}

/** Ends with the process. */
async function demoDashboard(keepwire) {
  const { dashboard } = require('../lib/dashboard.js')
  const { startTraffic } = require('./demo/traffic.js')
  const traffic = await startTraffic(keepwire)
  traffic.fail()
  // The usual port may be somebody's.
  const board = await dashboard().catch(() => dashboard({ port: 0 }))
  print.dashboardIsOpen(board.url)
  // Nothing of ours keeps a process alive.
  const end = setInterval(() => {}, 60_000)
  process.once('SIGINT', async () => {
    clearInterval(end)
    traffic.stop()
    await board.close()
  })
}

async function main() {
  const [address] = process.argv.slice(2)
  if (address === '--help' || address === '-h') return print.usage()
  await ensureReady({ dev: false })
  const keepwire = require('..')
  if (address === '--dashboard') return demoDashboard(keepwire)
  if (address === undefined) {
    if (!(await demoEmbedded(keepwire.Agent))) process.exitCode = 1
    print.howToLook()
    return
  }
  const target = parseTarget(address, keepwire)
  try {
    await demoRemote(target)
  } catch (error) {
    throw explainFailure(error, target.url)
  }
}

runScript(main)
