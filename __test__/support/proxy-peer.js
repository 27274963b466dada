'use strict'

// A proxy in a process of its own (support/remote.js), by whatever name and for whoever asks: it tunnels and it forwards, to
// loopback alone.

const http = require('node:http')
const net = require('node:net')

const { serve } = require('./server-process')

const HOST = '127.0.0.1'
let open = 0

const server = http.createServer((request, response) => {
  const { pathname, port, search } = new URL(/** @type {string} */ (request.url))
  const { method, headers } = request
  const options = { host: HOST, port, path: pathname + search, method, headers, agent: false }
  const onward = http.request(options, (answer) => {
    response.writeHead(/** @type {number} */ (answer.statusCode), answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.destroy())
  response.on('close', () => onward.destroy())
  request.pipe(onward)
})

server.on('connection', (socket) => {
  open++
  socket.on('close', () => open--)
})

server.on('connect', (request, socket) => {
  const target = /** @type {string} */ (request.url)
  const far = net.connect(Number(target.slice(target.lastIndexOf(':') + 1)), HOST, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    socket.pipe(far)
    far.pipe(socket)
  })
  for (const [one, other] of [
    [socket, far],
    [far, socket],
  ]) {
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
})

serve({ port: server }, () => ({ open }))
