'use strict'

// A proxy that opens tunnels, and for a control a relay to the port that it is told, which is as far away and asks for none. Tells
// their ports by its first line of output; it ends with its input.

const http = require('node:http')
const net = require('node:net')

const OPENED = 'HTTP/1.1 200 Connection established\r\n\r\n'

const relayedPort = Number(process.argv[2])

/**
 * @param {net.Socket} near
 * @param {net.NetConnectOpts} to
 * @param {(far: net.Socket) => void} [onOpen]
 */
function join(near, to, onOpen) {
  const far = net.connect({ ...to, noDelay: true }, () => {
    near.setNoDelay(true)
    onOpen?.(far)
    near.pipe(far).pipe(near)
  })
  far.on('error', () => near.destroy())
  near.on('error', () => far.destroy())
}

const proxy = http.createServer().on('connect', (request, near, early) => {
  const [host, port] = request.url.split(':')
  join(near, { host, port: Number(port) }, (far) => {
    near.write(OPENED)
    far.write(early)
  })
})
const relay = net.createServer((near) => join(near, { host: '127.0.0.1', port: relayedPort }))

const servers = [proxy, relay]
let listening = 0
for (const server of servers) {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => {
    listening += 1
    if (listening === servers.length)
      process.stdout.write(`${JSON.stringify(servers.map((one) => one.address().port))}\n`)
  })
}
process.stdin.resume().on('end', () => process.exit())
