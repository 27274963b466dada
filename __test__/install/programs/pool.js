'use strict'

// Shows what a pool does with the options it is given, by the connections that a server counts:
// `pool.js` through the runtime's node:http, `pool.js keepwire/http` through that.

const net = require('node:net')

const http = require(process.argv[2] ?? 'node:http')

const ROUNDS = 5

/** A server that answers each request with these lines, and counts connections. */
function serve(...lines) {
  const seen = { connections: 0, requests: [] }
  const head = ['HTTP/1.1 200 OK', 'Content-Length: 2', ...lines, '', ''].join('\r\n')
  const server = net.createServer((socket) => {
    seen.connections += 1
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
      // A head, and what is in a body ends as well with an empty line or has no line at all.
      const end = text.indexOf('\r\n\r\n')
      if (end < 0 || (/transfer-encoding/i.test(text) && !text.endsWith('0\r\n\r\n'))) return
      seen.requests.push(text)
      text = ''
      socket.write(`${head}ok`)
    })
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ seen, server, port: server.address().port }))
  })
}

/** @returns {Promise<{ body: string, reused: boolean, rawHeaders: string[] }>} */
function send(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', ...options }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => setImmediate(resolve, { text, request, response }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function rounds(agentOptions, ...lines) {
  const { seen, server, port } = await serve(...lines)
  const agent = new http.Agent(agentOptions)
  for (let round = 0; round < ROUNDS; round += 1) await send({ port, agent })
  agent.destroy()
  server.close()
  return seen.connections
}

async function main() {
  const notKept = await rounds({ keepAlive: false })
  const spelled = await rounds({ keepAlive: true }, 'Connection: Keep-Alive')
  const limited = await parallel()
  const { seen, server, port } = await serve('X-Case: Kept', 'x-other: b')
  const agent = new http.Agent({ keepAlive: true })
  const { text, response } = await send(
    { port, agent, method: 'POST', path: '/a/../b', headers: { 'X-CaSe': '1' } },
    'body',
  )
  const tooLarge = await send({ port, agent, maxResponseSize: 1 }).then(
    ({ text }) => text,
    ({ code }) => code,
  )
  const raw = response.rawHeaders
  console.log(JSON.stringify({ notKept, spelled, limited, tooLarge, request: seen.requests[0], text, raw, port }))
  agent.destroy()
  server.close()
  process.exit()
}

/** Connections of requests made at once under maxSockets: 2. */
async function parallel() {
  const { seen, server, port } = await serve()
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  await Promise.all(Array.from({ length: ROUNDS }, () => send({ port, agent })))
  agent.destroy()
  server.close()
  return seen.connections
}

main()
