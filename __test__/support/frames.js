'use strict'

// A server that speaks HTTP/2 frame by frame, as a test says: it knows no rules, and so can break all of them.

const { authority } = require('./http2')
const { rawSecureServer } = require('./secure')

const DATA = 0
const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const PING = 6
const GOAWAY = 7
const WINDOW_UPDATE = 8
const CONTINUATION = 9
const END_STREAM = 1
const ACK = 1
const END_HEADERS = 4

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const HEADER = 9

/** `:status: 200`, by its number in the static table. */
const STATUS_200 = Buffer.from([0x88])

/**
 * @param {number} type
 * @param {number} flags
 * @param {number} stream
 * @param {Uint8Array | string} [payload]
 */
function frame(type, flags, stream, payload = '') {
  const body = Buffer.from(payload)
  const head = Buffer.alloc(HEADER)
  head.writeUIntBE(body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

/** @param {number[]} values */
function words(...values) {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at)
  return bytes
}

const reset = (stream, code) => frame(RST_STREAM, 0, stream, words(code))
const goAway = (last, code) => frame(GOAWAY, 0, 0, words(last, code))
const answer = (stream, text = 'ok') =>
  Buffer.concat([frame(HEADERS, END_HEADERS, stream, STATUS_200), frame(DATA, END_STREAM, stream, text)])

/** @param {Record<number, number>} values by their numbers */
function settings(values = {}) {
  const pairs = Object.entries(values).map(([id, value]) => {
    const pair = Buffer.alloc(6)
    pair.writeUInt16BE(Number(id), 0)
    pair.writeUInt32BE(value, 2)
    return pair
  })
  return frame(SETTINGS, 0, 0, Buffer.concat(pairs))
}

/**
 * @param {import('./suite').Scope} scope
 * @param {(peer: { number: number, send: (...frames: Buffer[]) => void, end: () => void, socket: any }, frame: { type: number, flags: number, stream: number, payload: Buffer }) => void} onFrame
 *   called for each frame of a client's, once its settings have been answered
 * @param {Buffer} [first] the server's own settings
 */
async function frameServer(scope, onFrame, first = settings()) {
  const { server: identity } = await authority
  let connections = 0
  return rawSecureServer(
    scope,
    identity,
    (socket) => {
      connections += 1
      const peer = {
        number: connections,
        socket,
        send: (...frames) => socket.destroyed || socket.write(Buffer.concat(frames)),
        end: () => socket.end(),
      }
      let bytes = Buffer.alloc(0)
      let isGreeted = false
      if (first.length > 0) peer.send(first)
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        if (!isGreeted) {
          if (bytes.length < PREFACE.length) return
          bytes = bytes.subarray(PREFACE.length)
          isGreeted = true
        }
        while (bytes.length >= HEADER) {
          const length = bytes.readUIntBE(0, 3)
          if (bytes.length < HEADER + length) return
          const [type, flags] = [bytes[3], bytes[4]]
          const stream = bytes.readUInt32BE(5) & 0x7fffffff
          const payload = bytes.subarray(HEADER, HEADER + length)
          bytes = bytes.subarray(HEADER + length)
          if (type === SETTINGS && (flags & ACK) === 0 && first.length > 0) peer.send(frame(SETTINGS, ACK, 0))
          else if (type === PING && (flags & ACK) === 0) peer.send(frame(PING, ACK, 0, payload))
          onFrame(peer, { type, flags, stream, payload })
        }
      })
    },
    { ALPNProtocols: ['h2'] },
  )
}

module.exports = {
  ACK,
  answer,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  frameServer,
  goAway,
  HEADERS,
  PING,
  reset,
  RST_STREAM,
  SETTINGS,
  settings,
  STATUS_200,
  WINDOW_UPDATE,
  words,
}
