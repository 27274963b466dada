'use strict'

// The server process of support/races.js. It closes each connection at a random moment around its idle timeout, which
// is argv[2] ms, and remembers which requests it has read: /seen/ID tells how often. argv[3], 'http2': it speaks that.

const http2 = require('node:http2')

const { createListener } = require('./listener')
const { RequestReader, reply } = require('./peer')
const { identity, serve } = require('./server-process')

const IDLE_MS = Number(process.argv[2] || 5)
const SPREAD_MS = 5

let accepted = 0
const open = new Set()
/** How often each id was read. */
const seen = new Map()

const waitMs = () => Math.max(0, IDLE_MS + (Math.random() * 2 - 1) * SPREAD_MS)

function note(id) {
  seen.set(id, (seen.get(id) || 0) + 1)
}

const plainServer = () =>
  createListener(identity, (socket, raw) => {
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
        note(id)
        socket.write(reply(id))
        timer = setTimeout(close, waitMs())
      })
    })
  })

/** As servers do: a session that has no streams says goodbye, and tells which streams it has seen. */
function http2Server() {
  const server = http2.createSecureServer({ cert: identity?.pem, key: identity?.key })
  server.on('session', (session) => {
    accepted++
    open.add(session)
    let timer
    session.on('error', () => {})
    session.on('close', () => {
      clearTimeout(timer)
      open.delete(session)
    })
    session.on('stream', (stream, headers) => {
      clearTimeout(timer)
      const id = headers[':path'].slice(1)
      note(id)
      stream.on('error', () => {})
      stream.on('close', () => {
        clearTimeout(timer)
        timer = setTimeout(() => (Math.random() < 0.5 ? session.close() : session.destroy()), waitMs())
      })
      stream.respond({ ':status': 200 })
      stream.end(id)
    })
  })
  server.on('sessionError', () => {})
  return server
}

const server = process.argv[3] === 'http2' ? http2Server() : plainServer()

serve({ port: server }, () => ({ accepted, open: open.size, seen: [...seen] }))
