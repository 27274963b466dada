'use strict'

const http = require('node:http')
const { pipeline } = require('node:stream')

const express = require('express')
const { Agent } = require('keepwire')

const upstream = new URL(process.env.UPSTREAM)
const agent = new Agent({
  keepAlive: true,
  maxSockets: 50,
  maxPending: 200,
  connectTimeout: 2_000,
  headersTimeout: 30_000,
})

/** What is between two neighbours only (RFC 9110, 7.6.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

function endToEnd(headers) {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name) && !named.includes(name)),
  )
}

const STATUS = { ERR_KEEPWIRE_QUEUE_FULL: 503, ERR_KEEPWIRE_CONNECT_TIMEOUT: 504, ERR_KEEPWIRE_HEADERS_TIMEOUT: 504 }

const app = express()
app.use((incoming, outgoing) => {
  const { hostname: host, port } = upstream
  const headers = { ...endToEnd(incoming.headers), host: upstream.host, via: '1.1 express-proxy' }
  const asked = http.request({ agent, host, port, path: incoming.originalUrl, method: incoming.method, headers })
  asked.on('response', (response) => {
    outgoing.writeHead(response.statusCode, endToEnd(response.headers))
    pipeline(response, outgoing, () => {})
  })
  asked.on('error', ({ code }) => {
    if (outgoing.headersSent) outgoing.destroy()
    else outgoing.status(STATUS[code] ?? 502).send(`${code}\n`)
  })
  outgoing.on('close', () => asked.destroy())
  incoming.pipe(asked)
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log('listening', server.address().port)
})
process.once('SIGTERM', () => {
  server.close()
  agent.close({ deadline: 5_000 })
})
