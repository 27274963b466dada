'use strict'

// The server process of support/chaos-http2.js. A request's path says how to treat it: /kind/number/id. Frames are written one by
// one, so that all rules can be broken. A control port tells the counts.

const tls = require('node:tls')

const { bodyOf, POISON } = require('./chaos-bodies')
const frames = require('./frames')
const { repeated } = require('./http2-peer')
const { identity, serve } = require('./server-process')

const { DATA, END_HEADERS, END_STREAM, endsRequest, frame, goAway, HEADERS, pathOf, PING, reset } = frames
const { serveFrames, settings, STATUS_200, WINDOW_UPDATE, words } = frames

const INITIAL_WINDOW = 4
const MAX_STREAMS = 3
const CODES = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12]
const REFUSED_STREAM = 7
const SHORT = 60
/** What one frame holds. */
const FRAME = 16_384

let accepted = 0
const open = new Set()

/** An upload is given room as it comes. */
function giveRoom(peer, { type, flags, stream, payload }) {
  if (type !== DATA || payload.length === 0) return
  peer.send(frame(WINDOW_UPDATE, 0, 0, words(payload.length)))
  if ((flags & END_STREAM) === 0) peer.send(frame(WINDOW_UPDATE, 0, stream, words(payload.length)))
}

const server = tls.createServer({ cert: identity?.pem, key: identity?.key, ALPNProtocols: ['h2'] }, (socket) => {
  accepted++
  // Small windows make many small frames, each of which is waited for.
  socket.setNoDelay(true)
  open.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => open.delete(socket))
  const plans = new Map()
  /** No stream above it is answered any more. */
  const limits = { last: Number.POSITIVE_INFINITY, answered: 0 }
  serveFrames(
    socket,
    accepted,
    (peer, received) => {
      const { type, stream, payload } = received
      if (socket.destroyed) return
      // What is not looked at takes no room either.
      giveRoom(peer, received)
      if (stream > limits.last) return
      if (type === HEADERS && !plans.has(stream)) {
        const [, kind, number, id] = pathOf(payload).split('/')
        const plan = { kind, number: Number(number), id: Number(id), got: 0 }
        plans.set(stream, plan)
        if (plan.kind === 'early') return void serveOne(peer, stream, plan, limits)
        if (plan.kind === 'refuse-early') return void peer.send(reset(stream, REFUSED_STREAM))
      }
      const plan = plans.get(stream)
      if (plan && type === DATA) plan.got += payload.length
      if (plan && endsRequest(received) && !/early/.test(plan.kind)) serveOne(peer, stream, plan, limits)
    },
    settings({ [INITIAL_WINDOW]: 1000 + (accepted % 5) * 20_000, [MAX_STREAMS]: 1 + (accepted % 7) * 10 }),
  )
})

/** A body as frames of some size. */
function* framesOf(stream, text, size) {
  for (let at = 0; at < text.length; at += size) yield frame(DATA, 0, stream, text.slice(at, at + size))
  yield frame(DATA, END_STREAM, stream)
}

const head = (stream) => frame(HEADERS, END_HEADERS, stream, STATUS_200)

/** Frame by frame, in turns. */
function inTurns(peer, pieces) {
  const { value, done } = pieces.next()
  if (done || peer.socket.destroyed) return
  peer.send(value)
  setImmediate(inTurns, peer, pieces)
}

function serveOne(peer, stream, { kind, number, id, got }, limits) {
  const { socket } = peer
  const short = bodyOf(id, SHORT)
  const whole = [head(stream), ...framesOf(stream, short, FRAME)]
  const part = [head(stream), frame(DATA, 0, stream, short.slice(0, number % SHORT))]
  limits.answered = Math.max(limits.answered, stream)
  switch (kind) {
    case 'length':
    case 'early':
      return inTurns(peer, [head(stream), ...framesOf(stream, bodyOf(id, number), FRAME)].values())
    case 'small-frames':
      return peer.send(head(stream), ...framesOf(stream, short, 1 + (number % 7)))
    case 'trickle':
      return inTurns(peer, [head(stream), ...framesOf(stream, short, 1 + (number % 7))].values())
    case 'informational':
      return peer.send(...Array(1 + (number % 40)).fill(repeated.informational(stream)[1]), ...whole)
    case 'noise': {
      const names = ['pings', 'settings', 'windows', 'priorities', 'unknown']
      const [, again] = repeated[names[number % names.length]](stream)
      return peer.send(...Array(1 + (number % 200)).fill(again), ...whole)
    }
    case 'windows': {
      const shrunk = settings({ [INITIAL_WINDOW]: number % 3 === 0 ? 0 : 1 + number })
      return peer.send(
        shrunk,
        ...whole,
        settings({ [INITIAL_WINDOW]: 65_535 }),
        settings({ [MAX_STREAMS]: 1 + (number % 50) }),
      )
    }
    case 'reset-after':
      return peer.send(...whole, reset(stream, 0))
    case 'reset':
      return peer.send(reset(stream, CODES[number % CODES.length]))
    case 'reset-in-body':
      return peer.send(...part, reset(stream, CODES[number % CODES.length]))
    case 'refuse':
      return number % 2 === 0 ? peer.send(...whole) : peer.send(reset(stream, REFUSED_STREAM))
    // Those above the last one go elsewhere; those below are answered still.
    case 'goaway':
      limits.last = stream
      peer.send(goAway(stream, CODES[number % 2]), ...whole)
      return number % 3 === 0 && setTimeout(() => socket.end(), number % 10)
    case 'goaway-refusing':
      limits.last = Math.max(0, stream - 2)
      return peer.send(goAway(limits.last, 0))
    case 'fin-after':
      peer.send(...whole)
      return socket.end()
    case 'fin':
      peer.send(...part)
      return socket.end()
    case 'drop':
      return socket.destroy()
    case 'cut': {
      const bytes = Buffer.concat(whole)
      peer.send(bytes.subarray(0, number % (bytes.length - 9)))
      return socket.end()
    }
    case 'closed-stream':
      return peer.send(...whole, frame(DATA, 0, stream, POISON), frame(HEADERS, END_HEADERS, stream, STATUS_200))
    case 'even-stream':
      return peer.send(frame(HEADERS, END_HEADERS, 2 + 2 * number, STATUS_200), ...whole)
    case 'push':
      return peer.send(frame(5, END_HEADERS, stream, Buffer.concat([words(2), Buffer.from([0x82])])), ...whole)
    case 'overflow':
      return peer.send(frame(WINDOW_UPDATE, 0, number % 2 === 0 ? 0 : stream, words(0x7fffffff)), ...whole)
    // It may say that far more follows.
    case 'garbage':
      return socket.end(Buffer.from(Array.from({ length: 40 }, (_, at) => (id * 31 + at * 17) & 0xff)))
    case 'flood': {
      const names = Object.keys(repeated).filter((name) => name !== 'bytes-of-data')
      const [first, again] = repeated[names[number % names.length]](stream)
      const piece = Buffer.concat(Array(Math.ceil(8_192 / again.length)).fill(again))
      const more = () => {
        if (!socket.destroyed && socket.write(piece)) setImmediate(more)
      }
      socket.on('drain', more)
      peer.send(first)
      return more()
    }
    case 'ping':
      return peer.send(frame(PING, 0, 0, Buffer.alloc(8, got)), ...whole)
    default:
      // It says nothing at all.
      return undefined
  }
}

serve({ port: server }, () => ({ accepted, open: open.size }))
