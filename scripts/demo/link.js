'use strict'

// A server and the link to it, in a process of their own. The link is a TCP relay that holds every byte for the one-way
// delay. Connecting to a relay on loopback takes no time, so the handshake is emulated: what a client sends on a new
// connection sets out one round trip after the connect, when a real client would have been told that it is connected.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')

const ONE_WAY_MS = 25
const HOST = '127.0.0.1'
const BODY = JSON.stringify({ message: 'Hello from the far end of the link.' })

/**
 * Starts the process. Each `open()` makes a new server behind a new link, so that no count mixes with another.
 * @returns {Promise<{ open(oneWayMs: number): Promise<{ url: URL, close(): Promise<number> }>, stop(): void }>}
 *   `close()` resolves to the connections that the server has accepted; `stop()` ends the process.
 */
async function startLink() {
  const child = fork(__filename, ['serve'])
  let settle = null
  child.on('message', (answer) => settle?.resolve(answer))
  child.on('exit', (code) => settle?.reject(new Error(`the demo's server process ended (${code})`)))
  const ask = (question) =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject }
      child.send(question)
    })
  return {
    async open(oneWayMs) {
      const { port } = await ask({ open: oneWayMs })
      return {
        url: new URL(`http://${HOST}:${port}/`),
        close: async () => (await ask({ close: port })).connections,
      }
    },
    stop: () => child.disconnect(),
  }
}

function serve() {
  const open = new Map()
  const answer = (content) => process.send?.(content)
  const onQuestion = async (question) => {
    if (question.open !== undefined) {
      const served = await openServer(question.open)
      open.set(served.port, served)
      answer({ port: served.port })
    } else {
      const served = open.get(question.close)
      open.delete(question.close)
      answer({ connections: served.close() })
    }
  }
  process.on('message', onQuestion)
  process.on('disconnect', () => process.exit())
}

async function openServer(oneWayMs) {
  let connections = 0
  const server = http.createServer((request, response) => {
    request.resume()
    response.setHeader('Content-Type', 'application/json')
    response.setHeader('Content-Length', Buffer.byteLength(BODY))
    response.end(BODY)
  })
  server.on('connection', () => connections++)
  const serverPort = await listen(server)

  const relay = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ host: HOST, port: serverPort, allowHalfOpen: true, noDelay: true })
    const connectedAt = performance.now() + 2 * oneWayMs
    carry(near, far, oneWayMs, connectedAt)
    carry(far, near, oneWayMs, connectedAt)
  })
  return {
    port: await listen(relay),
    close() {
      relay.close()
      server.close()
      return connections
    },
  }
}

/** @param {net.Server} server */
async function listen(server) {
  await once(server.listen(0, HOST), 'listening')
  return /** @type {net.AddressInfo} */ (server.address()).port
}

/** Delivers to `to` what `from` sends: in order, never early, `delayMs` after it was sent. */
function carry(from, to, delayMs, connectedAt) {
  const underway = []
  const deliver = () => {
    const now = performance.now()
    while (underway.length > 0 && underway[0].due <= now) {
      const { chunk } = underway.shift()
      if (to.destroyed) continue
      if (chunk === null) to.end()
      else to.write(chunk)
    }
    if (underway.length > 0) setTimeout(deliver, underway[0].due - now)
  }
  const send = (chunk) => {
    const now = performance.now()
    const due = Math.max(now, connectedAt) + delayMs
    if (underway.push({ chunk, due }) === 1) setTimeout(deliver, due - now)
  }
  from.on('data', send)
  from.on('end', () => send(null))
  // A reset shows as 'error': the far side learns of it as an end.
  from.on('error', () => send(null))
}

if (require.main === module && process.argv[2] === 'serve') serve()

module.exports = { startLink, ONE_WAY_MS }
