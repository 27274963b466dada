'use strict'

// The server process of support/races.js. It closes each connection at a random moment around its idle timeout, which
// is argv[2] ms, and remembers which requests it has read: /seen/ID tells how often. argv[3], 'http2': it speaks that. In front of it
// is a proxy: tunnels that lead to the server are closed by the proxy, in the server's place.

const http = require('node:http')
const net = require('node:net')
const tls = require('node:tls')

const { createListener } = require('./listener')
const { RequestReader, reply } = require('./peer')
const { identity, serve } = require('./server-process')

const IDLE_MS = Number(process.argv[2] || 5)
const SPREAD_MS = 5

let accepted = 0
/**
 * Tunnels by the port that the server sees: the proxy's end towards the client, and how many bytes went there.
 * @type {Map<number, { near: net.Socket, forwarded: number }>}
 */
const tunnels = new Map()
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
      const tunnel = tunnels.get(raw.remotePort)
      // A proxy that has an answer still to pass on is not idle.
      if (tunnel !== undefined && tunnel.forwarded < raw.bytesWritten) {
        timer = setTimeout(close, 1)
        return
      }
      closing = true
      if (Math.random() < 0.5) (tunnel?.near ?? socket).end()
      else (tunnel?.near ?? raw).destroy()
    }
    socket.on('data', (bytes) => {
      // As servers do: what arrives after they have closed is not served.
      if (closing) return
      clearTimeout(timer)
      const nothing = () => {}
      reader.feed(bytes, nothing, (request) => {
        // A proxy is told the whole URL.
        const id = request.target.slice(request.target.lastIndexOf('/') + 1)
        note(id)
        socket.write(reply(id))
        timer = setTimeout(close, waitMs())
      })
    })
  })

/**
 * As servers do: a session that has no streams says goodbye, and which streams it has seen. Frame by frame, since Node's own servers
 * crash when sessions end at such moments.
 */
function http2Server() {
  const { answer, endsRequest, goAway, HEADERS, pathOf, serveFrames } = require('./frames')
  const options = { cert: identity?.pem, key: identity?.key, ALPNProtocols: ['h2'] }
  return tls.createServer(options, (socket) => {
    accepted++
    open.add(socket)
    const ids = new Map()
    let timer
    let isClosing = false
    let last = 0
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      open.delete(socket)
    })
    serveFrames(socket, accepted, (peer, frame) => {
      const { payload, stream, type } = frame
      if (isClosing) return
      if (type === HEADERS) ids.set(stream, pathOf(payload).slice(1))
      if (!endsRequest(frame)) return
      const id = ids.get(stream)
      ids.delete(stream)
      last = stream
      note(id)
      peer.send(answer(stream, id))
      clearTimeout(timer)
      timer = setTimeout(() => {
        if (ids.size > 0) return
        isClosing = true
        peer.send(goAway(last, 0))
        socket.end()
      }, waitMs())
    })
  })
}

const proxy = http.createServer().on('connect', (request, near, early) => {
  const far = net.connect(Number(request.url.split(':')[1]), '127.0.0.1', () => {
    const { localPort } = far
    const tunnel = { near, forwarded: 0 }
    tunnels.set(localPort, tunnel)
    far.on('data', (bytes) => (tunnel.forwarded += bytes.length))
    far.on('close', () => tunnels.delete(localPort))
    near.write('HTTP/1.1 200 OK\r\n\r\n')
    far.write(early)
    near.pipe(far).pipe(near)
  })
  near.on('error', () => far.destroy())
  far.on('error', () => near.destroy())
  near.on('close', () => far.destroy())
})

const server = process.argv[3] === 'http2' ? http2Server() : plainServer()

serve({ port: server, proxyPort: proxy }, () => ({ accepted, open: open.size, seen: [...seen] }))
