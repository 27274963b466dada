'use strict'

// The server process of support/chaos.js. A request's path says how to treat it: /kind/number/id. A second port tells
// the counts.

const net = require('node:net')

const { bodyOf, junk } = require('./chaos-bodies')
const { RequestReader } = require('./peer')

let accepted = 0
const open = new Set()

const server = net.createServer({ noDelay: true }, (socket) => {
  accepted++
  open.add(socket)
  const reader = new RequestReader()
  socket.on('error', () => {})
  socket.on('close', () => open.delete(socket))
  socket.on('data', (bytes) => {
    reader.feed(
      bytes,
      (request) => {
        request.plan = planOf(request)
        if (request.plan.kind === 'early') serve(socket, request)
      },
      (request) => request.plan.kind !== 'early' && serve(socket, request),
    )
  })
})

function planOf(request) {
  const [, kind, number, id] = request.target.split('/')
  return { kind, number: Number(number), id: Number(id) }
}

const head = (length, more = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n${more}\r\n`

function chunked(body, size) {
  let text = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (let at = 0; at < body.length; at += size) {
    const part = body.slice(at, at + size)
    text += `${part.length.toString(16)}\r\n${part}\r\n`
  }
  return `${text}0\r\n\r\n`
}

const DEFAULT_LENGTH = 60

function serve(socket, request) {
  const { kind, number, id } = request.plan
  const got = `X-Got: ${request.received}\r\n`
  const body = bodyOf(id, number)
  const short = bodyOf(id, DEFAULT_LENGTH)
  const whole = head(short.length, got) + short
  switch (kind) {
    case 'length':
    case 'early':
      return socket.write(head(body.length, kind === 'length' ? got : '') + body)
    case 'chunked':
      return socket.write(chunked(body, 1 + (id % 97)))
    case 'close':
      return socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n${got}\r\n${body}`)
    case 'trickle':
      return trickle(socket, whole, 1 + (number % 7))
    case 'reset':
      return cut(socket, whole, number, () => socket.resetAndDestroy())
    case 'fin':
      return cut(socket, whole, number, () => socket.end())
    case 'drop':
      return number % 2 === 0 ? socket.resetAndDestroy() : socket.end()
    case 'stall':
      return socket.write(whole.slice(0, number % whole.length))
    case 'garbage':
      return socket.write(Buffer.from(Array.from({ length: 40 }, (_, i) => (id * 31 + i * 17) & 0xff)))
    case 'junk':
      return socket.write(whole + junk(number))
    case 'flood':
      return socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1 + (number % 60)) + whole)
    case 'conflict':
      return socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`)
    case 'fin-after':
      return socket.end(whole)
    case 'reset-after':
      return socket.write(whole, () => socket.resetAndDestroy())
    default:
      return socket.destroy()
  }
}

function cut(socket, whole, number, end) {
  const at = number % whole.length
  if (at === 0) end()
  else socket.write(whole.slice(0, at), end)
}

function trickle(socket, text, step) {
  if (text === '' || socket.destroyed) return
  socket.write(text.slice(0, step))
  setImmediate(trickle, socket, text.slice(step), step)
}

const control = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.end(JSON.stringify({ accepted, open: open.size }))
})

server.listen(0, '127.0.0.1', () =>
  control.listen(0, '127.0.0.1', () =>
    console.log(JSON.stringify({ port: server.address().port, controlPort: control.address().port })),
  ),
)

// The parent's end of stdin closes when the parent ends, however it ends.
process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
