'use strict'

// A request through each of as many proxies as it is told, over agents that are gone soon, and what metrics() says of them.

const http = require('node:http')
const net = require('node:net')

const { Agent } = require('../../..')
const { metrics } = require('../../../lib/prometheus')

const most = Number(process.argv[2])

function ask(options) {
  return new Promise((resolve, reject) => {
    http.get(options, (response) => response.resume().on('end', resolve)).on('error', reject)
  })
}

/** Samples of counters of proxies, by what they are called. */
function counters() {
  const lines = metrics().split('\n')
  const pairs = lines
    .filter((line) => /^keepwire_proxy_\w+_(total|count|bucket)\{/.test(line))
    .map((line) => line.split(/ (?=\S+$)/))
  return new Map(pairs.map(([name, value]) => [name, Number(value)]))
}

const target = http.createServer((_, response) => response.end('ok'))
// One that answers on each address of the loopback net is as many proxies as there are addresses.
const proxy = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'))
})
target.listen(0, '127.0.0.1', () => {
  proxy.listen(0, '0.0.0.0', async () => {
    const { port } = proxy.address()
    const fell = []
    let before = new Map()
    for (let at = 1; at <= most; at++) {
      const agent = new Agent({
        keepAlive: true,
        warnings: false,
        proxy: `http://127.0.${at >> 8}.${at & 255}:${port}`,
      })
      await ask({ host: '127.0.0.1', port: target.address().port, agent })
      agent.destroy()
      if (at % 20 !== 0 && at !== most) continue
      const now = counters()
      for (const [name, count] of before) if ((now.get(name) ?? 0) < count) fell.push(name)
      before = now
    }
    const opened = [...before].filter(([name]) => name.startsWith('keepwire_proxy_connections_opened_total'))
    const sum = opened.reduce((all, [, count]) => all + count, 0)
    const other = before.get('keepwire_proxy_connections_opened_total{proxy="other"}')
    console.log(JSON.stringify({ names: opened.length, other, sum, fell }))
    target.close()
    proxy.close()
  })
})
