'use strict'

// The server process of http2/hostile.test.js: frames without end, or one by one. A request's path names what it comes to; any
// other path is answered as it should be.

const tls = require('node:tls')

const frames = require('./frames')
const { identity, serve } = require('./server-process')

const { answer, CONTINUATION, DATA, END_HEADERS, frame, HEADERS, pathOf, PING, reset, serveFrames } = frames
const { settings, STATUS_200, WINDOW_UPDATE, words } = frames

const PRIORITY = 2
const UNKNOWN = 77
const PIECE = 64 * 1024

/** `:status: 103`, as a literal. */
const STATUS_103 = Buffer.from([0x08, 3, 0x31, 0x30, 0x33])

/** What comes first, and what comes again and again. @type {Record<string, (stream: number) => [Buffer, Buffer]>} */
const repeated = {
  pings: () => [Buffer.alloc(0), frame(PING, 0, 0, Buffer.alloc(8))],
  settings: () => [Buffer.alloc(0), settings({ 1: 4096 })],
  windows: () => [Buffer.alloc(0), frame(WINDOW_UPDATE, 0, 0, words(1))],
  'stream-windows': (stream) => [Buffer.alloc(0), frame(WINDOW_UPDATE, 0, stream, words(1))],
  priorities: (stream) => [Buffer.alloc(0), frame(PRIORITY, 0, stream, Buffer.from([0, 0, 0, 0, 16]))],
  unknown: () => [Buffer.alloc(0), frame(UNKNOWN, 0, 0, 'x')],
  'large-unknown': () => [Buffer.alloc(0), frame(UNKNOWN, 0, 0, Buffer.alloc(16_000))],
  'resets-of-old-streams': () => [Buffer.alloc(0), reset(1, 8)],
  'empty-data': (stream) => [frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream)],
  informational: (stream) => [Buffer.alloc(0), frame(HEADERS, END_HEADERS, stream, STATUS_103)],
  continuations: (stream) => [frame(HEADERS, 0, stream, STATUS_200), frame(CONTINUATION, 0, stream)],
  'large-continuations': (stream) => [
    frame(HEADERS, 0, stream, STATUS_200),
    frame(
      CONTINUATION,
      0,
      stream,
      Buffer.concat([Buffer.from([0, 1, 0x61, 0x7f, 0x81, 0x1f]), Buffer.alloc(4_000, 0x62)]),
    ),
  ],
  'bytes-of-data': (stream) => [frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, 0, stream, 'x')],
}

function flood(peer, [first, again]) {
  const piece = Buffer.alloc(Math.max(1, Math.floor(PIECE / again.length)) * again.length)
  for (let at = 0; at < piece.length; at += again.length) again.copy(piece, at)
  // In turns, so that the server has time for others.
  const more = () => {
    if (!peer.socket.destroyed && peer.send(piece)) setImmediate(more)
  }
  peer.socket.on('drain', more)
  peer.send(first)
  more()
}

function trickle(peer, [first, again]) {
  peer.send(first)
  const timer = setInterval(() => peer.send(again), 2)
  // Each stream has one.
  peer.socket.setMaxListeners(0).on('close', () => clearInterval(timer))
}

function floodAfter(peer, frames, stream) {
  peer.send(answer(stream, 'hello'))
  flood(peer, frames)
}

let connections = 0
const open = new Set()
const flooding = new Set()

const server = tls.createServer({ cert: identity?.pem, key: identity?.key, ALPNProtocols: ['h2'] }, (socket) => {
  open.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => {
    open.delete(socket)
    flooding.delete(socket)
  })
  serveFrames(socket, ++connections, (peer, { type, stream, payload }) => {
    if (type !== HEADERS) return
    const name = pathOf(payload).slice(1)
    const begin = { flood, trickle, after: floodAfter }[name.split('/')[0]]
    const [first, again] = repeated[name.split('/')[1]]?.(stream) ?? []
    if (begin) {
      flooding.add(socket)
      begin(peer, [first, again], stream)
    } else if (name === 'deaf') {
      flooding.add(socket)
      socket.pause()
      // That is how it hears of the end.
      trickle(peer, repeated.unknown())
    } else peer.send(answer(stream, 'hello'))
  })
})

if (require.main === module) serve({ port: server }, () => ({ open: open.size, flooding: flooding.size }))

module.exports = { repeated }
