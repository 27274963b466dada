'use strict'

// The server process of support/races.js. It closes each connection at a random moment around its idle timeout, which
// is argv[2] ms, and remembers which requests it has read: /seen/ID tells how often.

const { createListener } = require('./listener')
const { RequestReader, reply } = require('./peer')
const { identity, serve } = require('./server-process')

const IDLE_MS = Number(process.argv[2] || 5)
const SPREAD_MS = 5

let accepted = 0
const open = new Set()
/** How often each id was read. */
const seen = new Map()

const server = createListener(identity, (socket, raw) => {
  accepted++
  open.add(socket)
  const reader = new RequestReader()
  let timer
  socket.on('error', () => {})
  raw.on('close', () => {
    clearTimeout(timer)
    open.delete(socket)
  })
  let closing = false
  const close = () => {
    closing = true
    if (Math.random() < 0.5) socket.end()
    else raw.destroy()
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

serve({ port: server }, () => ({ accepted, open: open.size, seen: [...seen] }))
