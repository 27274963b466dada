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
 * @typedef {{ number: number, isMute: boolean, send: (...frames: Buffer[]) => void, end: () => void, socket: any }} FramePeer
 *   while it is mute, nothing that comes is answered or told
 * @typedef {{ type: number, flags: number, stream: number, payload: Buffer }} Frame
 */

/**
 * Serves one connection.
 * @param {any} socket
 * @param {number} number
 * @param {(peer: FramePeer, frame: Frame) => void} onFrame called for each frame of a client's, once its settings have been answered
 * @param {Buffer} [first] the server's own settings
 * @returns {FramePeer}
 */
function serveFrames(socket, number, onFrame, first = settings()) {
  const peer = {
    number,
    isMute: false,
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
      if (peer.isMute) continue
      if (type === SETTINGS && (flags & ACK) === 0 && first.length > 0) peer.send(frame(SETTINGS, ACK, 0))
      else if (type === PING && (flags & ACK) === 0) peer.send(frame(PING, ACK, 0, payload))
      onFrame(peer, { type, flags, stream, payload })
    }
  })
  return peer
}

/**
 * @param {import('./suite').Scope} scope
 * @param {(peer: FramePeer, frame: Frame) => void} onFrame
 * @param {Buffer} [first]
 */
async function frameServer(scope, onFrame, first) {
  const { server: identity } = await authority
  let connections = 0
  const onSocket = (socket) => serveFrames(socket, ++connections, onFrame, first)
  return rawSecureServer(scope, identity, onSocket, { ALPNProtocols: ['h2'] })
}

/** Whether a client's frame ends its request. @param {Frame} frame */
const endsRequest = ({ type, flags }) => (type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0

// What Huffman's code makes of the characters of a test's paths (RFC 7541, appendix B).
const SHORT_CODES = ['012aceiost', ' %-./3456789=A_bdfghlmnpru', ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz']
const FIRST_CODES = [0b00000, 0b010100, 0b1011100]
const codes = new Map(
  SHORT_CODES.flatMap((characters, row) =>
    Array.from(characters, (character, at) => [(FIRST_CODES[row] + at).toString(2).padStart(5 + row, '0'), character]),
  ),
)

codes.set('1111111100', '?')
/** Of those above, in bits. */
const LONGEST_CODE = 10

function unpack(bytes) {
  let bits = ''
  let text = ''
  for (const bit of Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')) {
    bits += bit
    // Bits that go on growing are looked up in ever longer time: seconds, for a path of 8,000 characters.
    if (bits.length > LONGEST_CODE)
      throw new Error(`a path has a character after ${text.slice(0, 80)} that no test should use`)
    if (!codes.has(bits)) continue
    text += codes.get(bits)
    bits = ''
  }
  return text
}

/** The path in a request's head, of which no other field matters. @param {Buffer} block */
function pathOf(block) {
  let at = 0
  const integer = (bits) => {
    const most = (1 << bits) - 1
    let value = block[at++] & most
    if (value < most) return value
    for (let shift = 0; ; shift += 7) {
      const byte = block[at++]
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const text = () => {
    const isPacked = block[at] >= 0x80
    const length = integer(7)
    const bytes = block.subarray(at, (at += length))
    return isPacked ? unpack(bytes) : bytes.toString('latin1')
  }
  while (at < block.length) {
    const first = block[at]
    if (first >= 0x80) {
      if (integer(7) === 4) return '/'
    } else if (first >= 0x20 && first < 0x40) {
      integer(5)
    } else {
      const name = integer(first >= 0x40 ? 6 : 4)
      if (name === 0) text()
      const value = text()
      if (name === 4 || name === 5) return value
    }
  }
  throw new Error('a head without a path')
}

module.exports = {
  ACK,
  answer,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  endsRequest,
  frame,
  frameServer,
  goAway,
  HEADERS,
  pathOf,
  PING,
  reset,
  RST_STREAM,
  serveFrames,
  SETTINGS,
  settings,
  STATUS_200,
  WINDOW_UPDATE,
  words,
}
