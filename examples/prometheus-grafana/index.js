'use strict'

const http = require('node:http')

const { Agent, fetch } = require('keepwire')
const { contentType, metrics } = require('keepwire/prometheus')

const { PORT: port = '9464', UPSTREAM: upstream } = process.env
const agent = new Agent({ keepAlive: true, maxSockets: 20 })

// What there is to see: ten requests a second.
const traffic = setInterval(async () => {
  const response = await fetch(upstream, { agent }).catch((error) => console.error(error.code))
  await response?.arrayBuffer().catch(() => {})
}, 100)

const server = http.createServer((request, response) => {
  if (request.url !== '/metrics') return response.writeHead(404).end()
  const accept = request.headers.accept
  response.setHeader('Content-Type', contentType(accept))
  response.end(metrics({ accept }))
})
// Prometheus runs in a container, and asks by the address of its host.
server.listen(Number(port), process.env.HOST ?? '0.0.0.0', () => console.log('listening', server.address().port))

process.once('SIGTERM', () => {
  clearInterval(traffic)
  server.close()
  agent.destroy()
})
