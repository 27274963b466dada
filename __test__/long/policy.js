'use strict'

// Rates of 50 hosts, each with its own limit: `node __test__/long/policy.js [rps] [requests] [hosts]`. Prints how far from its
// limit each host's rate was, from when its requests were made until its server had the last one (the first ones arrive late,
// since their connections are opened); fails beyond 5 %.

const assert = require('node:assert')
const http = require('node:http')

const { Agent } = require('../../index.js')

const [rps = 5, requests = 20, hosts = 50] = process.argv.slice(2).map(Number)
const MOST_OFF = 0.05

/** Every name is this machine's. */
function lookup(_host, options, callback) {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

/** When each host had its last request, and how many. @type {Record<string, { count: number, last: number }>} */
const seen = {}
const server = http.createServer((req, res) => {
  const { host } = req.headers
  seen[host] = { count: (seen[host]?.count ?? 0) + 1, last: performance.now() }
  res.end('ok')
})

server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true, lookup, policy: () => ({ rps }) })
  const get = (host) =>
    new Promise((resolve, reject) => {
      const req = http.get({ host, port, agent }, (res) => res.resume().on('end', resolve))
      req.on('error', reject)
    })
  const all = []
  const began = {}
  for (let host = 0; host < hosts; host += 1) {
    began[`host-${host}.test:${port}`] = performance.now()
    for (let request = 0; request < requests; request += 1) all.push(get(`host-${host}.test`))
  }
  await Promise.all(all)
  agent.destroy()
  server.close()
  const off = Object.entries(seen).map(
    ([host, { count, last }]) => (count - 1) / ((last - began[host]) / 1000) / rps - 1,
  )
  const percent = (share) => `${(100 * share).toFixed(2)} %`
  console.log(
    `${Object.keys(seen).length} hosts, ${all.length} requests: rates off by ${percent(Math.min(...off))} to ${percent(Math.max(...off))}`,
  )
  assert.strictEqual(Object.keys(seen).length, hosts)
  assert.ok(off.every((share) => Math.abs(share) <= MOST_OFF))
})
