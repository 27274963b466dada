'use strict'

// The server process of support/chaos.js. A request's path says how to treat it: /kind/number/id. On `cutPort`, over TLS,
// connections are cut while they shake hands; on `alertPort` some end with an alert or a close, and the others are served.
// A control port tells the counts.

const { gzipSync } = require('node:zlib')

const { bodyOf, junk, junkRecord, plainAlert, poisonedLocation } = require('./chaos-bodies')
const { createListener, reset } = require('./listener')
const { RequestReader } = require('./peer')
const { Records } = require('./records')
const { isNode } = require('./runtime')
const { identity, serve: serveProcess } = require('./server-process')

let accepted = 0
const open = new Set()

/** What a connection is: `stream` says, `raw` is the TCP connection, `cable` carries TLS. */
const server = createListener(identity, (stream, raw, cable) => {
  count(raw)
  answer(stream, raw, cable)
})

function answer(stream, raw, cable) {
  const connection = { stream, raw, cable, isOver: false, records: undefined }
  // Other runtimes' servers do not tell their keys.
  if (cable && isNode) connection.records = new Records(stream, raw, cable)
  const reader = new RequestReader()
  stream.on('error', () => {})
  stream.on('data', (bytes) => {
    // As servers do: what arrives on a connection that is over is not served.
    if (connection.isOver) return
    reader.feed(
      bytes,
      (request) => {
        request.plan = planOf(request)
        if (request.plan.kind === 'early') serve(connection, request)
      },
      (request) => request.plan.kind !== 'early' && serve(connection, request),
    )
  })
}

// A server's first flight has more than 200 bytes even if a session is resumed, and never as many as 1,500.
const MOST_OF_A_HANDSHAKE = 1_500

/** Nothing is ever answered here: at the latest, a request dies with what follows the handshake. */
const cutting = createListener(identity, (stream, raw, cable) => {
  count(raw)
  stream.on('data', () => raw.destroy())
  cable?.cutAfter((accepted * 37) % MOST_OF_A_HANDSHAKE, accepted % 2 === 0 ? reset : (cut) => cut.end())
})

let alerted = 0

/** As what lies between can do to a server that is well: of each four connections two are served. */
const alerting = createListener(identity, (stream, raw, cable) => {
  count(raw)
  const number = alerted++
  const end = (ending) => (number % 3 === 0 ? ending.end() : ending.end(plainAlert(number)))
  // After the client's hello.
  if (number % 4 === 1)
    return raw.once('data', () => {
      cable?.cutAfter(0, () => {})
      end(raw)
    })
  // Within the server's flight, or a little behind it.
  if (number % 4 === 3) cable?.cutAfter(1 + ((number * 37) % MOST_OF_A_HANDSHAKE), end)
  answer(stream, raw, cable)
})

function count(raw) {
  accepted++
  open.add(raw)
  raw.on('close', () => open.delete(raw))
}

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

/** A whole record's worth of TLS is longer by at least so much. */
const RECORD_OVERHEAD = 21

/** After these a connection serves others. */
const GOES_ON = new Set([
  'length',
  'bytes',
  'lines',
  'early',
  'chunked',
  'trickle',
  'flood',
  'alert',
  'gzip',
  'bomb',
  'astray',
  'told',
  'poisoned',
  'paced',
])

function serve(connection, request) {
  const { stream: socket, raw, cable } = connection
  const { kind, number, id } = request.plan
  connection.isOver = !GOES_ON.has(kind)
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
    case 'alert':
      connection.isOver = number % 2 === 0
      return connection.isOver ? socket.end(whole.replace('\r\n', '\r\nConnection: close\r\n')) : socket.write(whole)
    case 'gzip':
      return socket.write(zipped(gzipSync(body), 'gzip'))
    case 'bomb':
      return socket.write(number % 2 === 0 ? zipped(bomb, 'gzip') : zipped(bombOfBombs, 'gzip, gzip'))
    case 'astray':
      return socket.write(redirect(`${scheme}://localhost:${server.address().port}/told/0/${id}`))
    case 'endless':
      return trickle(socket, endless(`/told/0/${id}`), 1 + (number % 7))
    case 'told':
      return socket.write(head(short.length, `X-Credentials: ${request.headers.authorization ?? 'none'}\r\n`) + short)
    case 'poisoned':
      return socket.write(redirect(poisonedLocation(number, `${scheme}://127.0.0.1:${server.address().port}`)))
    case 'close':
      return socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n${got}\r\n${body}`)
    case 'trickle':
      return trickle(socket, whole, 1 + (number % 7))
    case 'reset':
      return cut(socket, whole, number, () => reset(raw))
    case 'fin':
      return cut(socket, whole, number, () => socket.end())
    case 'drop':
      return number % 2 === 0 ? reset(raw) : socket.end()
    case 'paced':
      return paced(socket, whole, number)
    case 'silent':
      return undefined
    case 'halting':
      return socket.write(whole.slice(0, whole.length - 1 - (number % DEFAULT_LENGTH)))
    case 'stall':
      return socket.write(whole.slice(0, number % whole.length))
    case 'garbage':
      return socket.write(Buffer.from(Array.from({ length: 40 }, (_, i) => (id * 31 + i * 17) & 0xff)))
    case 'junk':
      return socket.write(whole + junk(number))
    case 'flood':
      return socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1 + (number % 60)) + whole)
    case 'bytes':
      return socket.write(tinyChunks(short))
    case 'lines':
      return socket.write('\r\n'.repeat(number % 400) + whole)
    case 'blank':
      return socket.write(`${whole}\r\n`)
    case 'zeros':
      return flood(socket, chunked(short, 7).slice(0, -5), '0')
    case 'extension':
      return flood(socket, `${chunked(short, 7).slice(0, -5)}1;`, 'x')
    case 'empty-lines':
      return flood(socket, '', '\r\n')
    case 'conflict':
      return socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`)
    case 'fin-after':
      return socket.end(whole)
    case 'reset-after':
      return socket.write(whole, () => reset(raw))
    case 'record-reset':
    case 'record-fin': {
      const end = kind === 'record-reset' ? reset : (ending) => ending.end()
      cable.cutAfter(number % (whole.length + RECORD_OVERHEAD), end)
      return socket.write(whole)
    }
    // As much as there may be that is no data, between data of a byte each.
    case 'record-nothing':
      saysNothing(connection.records, number)
      connection.records.send('data', [...whole.slice(0, number)])
      saysNothing(connection.records, id)
      connection.records.send('data', [whole.slice(number)])
      return raw.end()
    case 'record-noise':
      return connection.records.flood('session', 100)
    // FIN without a word of TLS.
    case 'bare-fin-after':
      return socket.write(whole, () => raw.end())
    case 'record-junk':
      cable.attach(junkRecord(number))
      return socket.write(whole)
    case 'record-junk-later':
      return socket.write(whole, () => raw.write(junkRecord(number)))
    case 'record-garbage':
      return raw.write(junkRecord(number), () => number % 2 === 0 && reset(raw))
    default:
      return socket.destroy()
  }
}

/** Less than what TLS allows in a row. */
function saysNothing(records, number) {
  records.send('data', number % 30)
  records.send('keys', number % 30)
  records.send('session', number % 300)
}

const scheme = identity ? 'https' : 'http'

const redirect = (location) => `HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ${location}\r\n\r\n`

const endless = (location) =>
  `HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\nLocation: ${location}\r\n\r\n${'1\r\nx\r\n'.repeat(20)}`

const zipped = (bytes, coding) =>
  Buffer.concat([Buffer.from(head(bytes.length, `Content-Encoding: ${coding}\r\n`)), bytes])

const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024), { level: 9 })
const bombOfBombs = gzipSync(Buffer.concat(Array.from({ length: 40 }, () => bomb)), { level: 9 })

/** Chunks of one byte, with extensions and padded sizes. */
function tinyChunks(body) {
  const chunks = Array.from(body, (byte) => `0001;signature=${'f'.repeat(40)}\r\n${byte}\r\n`)
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join('')}000\r\n\r\n`
}

/** Sends the same without end, in turns with others. */
function flood(socket, first, again) {
  const piece = again.repeat(8_192 / again.length)
  const more = () => {
    if (!socket.destroyed && socket.write(piece)) setImmediate(more)
  }
  socket.on('drain', more)
  // Deno's TLS never ends a write of nothing.
  if (first !== '') socket.write(first)
  more()
}

function cut(socket, whole, number, end) {
  const at = number % whole.length
  if (at === 0) end()
  else socket.write(whole.slice(0, at), end)
}

/** Takes its time before the head, or in the middle of the body. */
function paced(socket, whole, number) {
  const at = number % 2 === 0 ? 0 : whole.length - 1
  if (at > 0) socket.write(whole.slice(0, at))
  setTimeout(() => socket.destroyed || socket.write(whole.slice(at)), number % 200)
}

function trickle(socket, text, step) {
  if (text === '' || socket.destroyed) return
  socket.write(text.slice(0, step))
  setImmediate(trickle, socket, text.slice(step), step)
}

serveProcess({ port: server, cutPort: cutting, alertPort: alerting }, () => ({ accepted, open: open.size }))
