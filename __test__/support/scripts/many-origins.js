'use strict'

// Requests to as many origins as it is told, all of them names of one server, and what totals() says of them.

const http = require('node:http')

const { Agent, totals } = require('../../..')

const most = Number(process.argv[2])

function ask(port, host, agent) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host, port, agent }, (response) => response.resume().on('end', resolve))
    request.on('error', reject)
  })
}

const server = http.createServer((_, response) => response.end('ok'))
server.listen(0, '0.0.0.0', async () => {
  const { port } = server.address()
  const agent = new Agent({ keepAlive: true })
  for (let at = 1; at <= most; at++) await ask(port, `127.0.${at >> 8}.${at & 255}`, agent)
  const told = totals()
  const sum = Object.values(told).reduce((all, { created }) => all + created, 0)
  const merged = totals({ origin: () => 'one' }).one.created
  console.log(JSON.stringify({ names: Object.keys(told).length, others: told.other.created, sum, merged }))
  agent.destroy()
  server.close()
})
