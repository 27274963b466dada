'use strict'

// The options that bound what a request or a connection may take: what becomes of a request that they are for.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const net = require('node:net')

const { delay, until } = require('../../support/wait')
const { OK, outcome } = require('./contenders')

const SHORT_MS = 200
const SILENCE = () => {}

/** A server that listens and never accepts, with its backlog full: connecting to it takes for ever. */
const DEAF = `
const server = require('node:net').createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  require('node:fs').writeSync(1, server.address().port + '\\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000)
})`

async function withDeafServer(body) {
  const child = spawn(process.execPath, ['-e', DEAF], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [port] = await once(child.stdout, 'data')
  const fillers = Array.from({ length: 4 }, () => net.connect(Number(port), '127.0.0.1').on('error', () => {}))
  await delay(SHORT_MS)
  try {
    return await body({ port: Number(port) })
  } finally {
    for (const socket of fillers) socket.destroy()
    child.kill('SIGKILL')
  }
}

/** One request under an option, to a server that does `serve`. */
function single(option, serve) {
  return ({ make, withPeer }) =>
    withPeer(serve, async ({ port }) => {
      const client = make({ [option]: SHORT_MS })
      const result = await outcome(client.send({ port }).answer)
      await client.destroy()
      return result
    })
}

/** @type {[string, (place: import('./contenders').Place) => Promise<string>][]} */
const options = [
  ['headersTimeout: 200, a silent server', single('headersTimeout', SILENCE)],
  [
    'bodyTimeout: 200, silence within the body',
    single('bodyTimeout', (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
  ],
  [
    'connectTimeout: 200, nobody accepts',
    ({ make }) =>
      withDeafServer(async ({ port }) => {
        const client = make({ connectTimeout: SHORT_MS })
        const result = await outcome(client.send({ port }).answer)
        await client.destroy()
        return result
      }),
  ],
  [
    'maxPending: 1, two requests wait',
    ({ make, withPeer }) =>
      withPeer(SILENCE, async (peer) => {
        const client = make({ maxSockets: 1, maxPending: 1 })
        const sent = [1, 2, 3].map(() => client.send({ port: peer.port }))
        for (const { answer } of sent) answer.catch(() => {})
        const result = await outcome(sent[2].answer)
        await client.destroy()
        return result === 'hangs' ? 'all wait' : result
      }),
  ],
  [
    'queueTimeout: 200, a request waits',
    ({ make, withPeer }) =>
      withPeer(SILENCE, async (peer) => {
        const client = make({ maxSockets: 1, queueTimeout: SHORT_MS })
        client.send({ port: peer.port }).answer.catch(() => {})
        await until(() => peer.requests.length === 1)
        const result = await outcome(client.send({ port: peer.port }).answer)
        await client.destroy()
        return result === 'hangs' ? 'waits on' : result
      }),
  ],
  [
    'socketActiveTTL: 200, requests for 600 ms',
    ({ make, withPeer }) =>
      withPeer(OK, async (peer) => {
        const client = make({ maxSockets: 1, socketActiveTTL: SHORT_MS })
        for (let i = 0; i < 12; i++) {
          await client.send({ port: peer.port }).answer
          await delay(SHORT_MS / 4)
        }
        await client.destroy()
        return peer.accepted > 1 ? 'connections are renewed' : 'one connection for ever'
      }),
  ],
  [
    'maxRequestsPerSocket: 2, six requests',
    ({ make, withPeer }) =>
      withPeer(OK, async (peer) => {
        const client = make({ maxSockets: 1, maxRequestsPerSocket: 2 })
        for (let i = 0; i < 6; i++) await client.send({ port: peer.port }).answer
        await client.destroy()
        return `${peer.accepted} connection${peer.accepted === 1 ? '' : 's'}`
      }),
  ],
  [
    'shared: true, an agent for each of 10 requests',
    ({ make, withPeer }) =>
      withPeer(OK, async (peer) => {
        const clients = []
        for (let i = 0; i < 10; i++) {
          clients.push(make({ shared: true }))
          await clients[i].send({ port: peer.port }).answer
        }
        const { accepted, open } = peer
        const result = `${accepted} connection${accepted === 1 ? '' : 's'}, ${open.size} open`
        for (const client of clients) await client.destroy()
        return result
      }),
  ],
  [
    'a body is never read, maxSockets: 1',
    async ({ make, withPeer }) => {
      const warnings = []
      const note = ({ code }) => warnings.push(code)
      process.on('warning', note)
      const result = await withPeer(OK, async (peer) => {
        const client = make({ maxSockets: 1 })
        const stuck = client.send({ port: peer.port, isRead: false })
        stuck.answer.catch(() => {})
        await until(() => peer.requests.length === 1)
        const next = await outcome(client.send({ port: peer.port }).answer)
        await client.destroy()
        return next
      })
      process.off('warning', note)
      return warnings.some((code) => code?.includes('UNREAD')) ? `${result}, with a warning` : `${result}, silently`
    },
  ],
]

module.exports = { options }
