'use strict'

// The server process of support/races.js. It closes each connection at a random moment around its idle timeout, which
// is argv[2] ms, and remembers which requests it has read: /seen/ID tells how often.

const net = require('node:net')

const { RequestReader, reply } = require('./peer')

const IDLE_MS = Number(process.argv[2] || 5)
const SPREAD_MS = 5

let accepted = 0
const open = new Set()
/** How often each id was read. */
const seen = new Map()

const server = net.createServer({ noDelay: true }, (socket) => {
  accepted++
  open.add(socket)
  const reader = new RequestReader()
  let timer
  socket.on('error', () => {})
  socket.on('close', () => {
    clearTimeout(timer)
    open.delete(socket)
  })
  let closing = false
  const close = () => {
    closing = true
    if (Math.random() < 0.5) socket.end()
    else socket.destroy()
  }
  socket.on('data', (bytes) => {
    // As servers do: what arrives after they have closed is not served.
    if (closing) return
    clearTimeout(timer)
    const nothing = () => {}
    reader.feed(bytes, nothing, (request) => {
      const id = request.target.slice(1)
      seen.set(id, (seen.get(id) || 0) + 1)
      socket.write(reply(id))
      const wait = IDLE_MS + (Math.random() * 2 - 1) * SPREAD_MS
      timer = setTimeout(close, Math.max(0, wait))
    })
  })
})

const control = net.createServer((socket) => {
  socket.on('error', () => {})
  socket.end(JSON.stringify({ accepted, open: open.size, seen: [...seen] }))
})

server.listen(0, '127.0.0.1', () =>
  control.listen(0, '127.0.0.1', () =>
    console.log(JSON.stringify({ port: server.address().port, controlPort: control.address().port })),
  ),
)

// The parent's end of stdin closes when the parent ends, however it ends.
process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
