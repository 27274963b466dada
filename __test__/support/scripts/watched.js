'use strict'

// What a dashboard costs this process's JavaScript thread: `node watched.js ORIGINS CONNECTIONS LOOKS EVERY_MS`. Has so many connections
// open to each of so many origins, sends each origin a request a look, and prints for each view what a look took, from the reading of
// counters to the bytes in the viewer's socket: the thread's CPU time where the system tells it, else time. Beside
// it, what the thread did from one look to the next: the requests.

const http = require('node:http')
const fs = require('node:fs')

const { Agent, totals } = require('../../..')
const { dashboard } = require('../../../lib/dashboard')
const { pace, Sampler } = require('../../../lib/dashboard/sampler')
const { Viewer } = require('../dashboard')
const { startRemote } = require('../remote')
const { until } = require('../wait')

const [origins, connections, looks, everyMs] = process.argv.slice(2).map(Number)
/** Code is compiled meanwhile. */
const WARM_UP = 4

const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`
const hasSchedstat = fs.existsSync(SCHEDSTAT)

/** Of this thread, in ms. The system brings it up to date at its own pace: only the sum of many looks is right. */
function threadMs() {
  if (typeof process.threadCpuUsage === 'function') {
    const { system, user } = process.threadCpuUsage()
    return (system + user) / 1000
  }
  return hasSchedstat ? Number(fs.readFileSync(SCHEDSTAT, 'utf8').split(' ')[0]) / 1e6 : performance.now()
}

/** @type {number[]} */
let took = []
/** When each look began. @type {number[]} */
let began = []
const { tick } = Sampler.prototype
Sampler.prototype.tick = function () {
  const before = threadMs()
  tick.call(this)
  began.push(before)
  took.push(threadMs() - before)
}

function get(port, agent) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => response.resume().on('end', resolve))
    request.on('error', reject)
  })
}

async function main() {
  const remote = await startRemote('many-servers.js', { args: [String(origins)] })
  const ports = Array.from({ length: origins }, (_, at) => remote[`server${at}`])
  const agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections })
  for (const port of ports) await Promise.all(Array.from({ length: connections }, () => get(port, agent)))
  const board = await dashboard({ port: 0 })
  pace.everyMs = everyMs
  const traffic = setInterval(() => {
    for (const port of ports) get(port, agent).catch(() => {})
  }, everyMs)
  const place = `http://127.0.0.1:${ports[origins >> 1]}`
  for (const [view, options] of Object.entries({
    overview: {},
    origin: { origin: place },
    proxies: { proxies: true },
  })) {
    took = []
    began = []
    const viewer = new Viewer(board.url, options)
    await until(() => took.length >= WARM_UP + looks, 'enough looks', 600_000)
    viewer.leave()
    const steady = took.slice(WARM_UP, WARM_UP + looks)
    const changed = viewer.samples.slice(WARM_UP).map(({ rows }) => rows.length)
    const ms = steady.reduce((sum, one) => sum + one, 0) / steady.length
    const last = WARM_UP + looks - 1
    const beside = (began[last] - began[WARM_UP]) / (last - WARM_UP) - ms
    const open = Object.values(totals()).reduce((sum, told) => sum + told.open, 0)
    console.log(
      JSON.stringify({
        view,
        ms,
        beside,
        characters: Math.max(...viewer.sizes.slice(WARM_UP)),
        open,
        changed: Math.max(...changed),
        listed: viewer.last.detail?.connections.length ?? 0,
      }),
    )
  }
  clearInterval(traffic)
  await board.close()
  agent.destroy()
  await remote.stop()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
