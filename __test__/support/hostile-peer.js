'use strict'

// The server process of hostile-streams.test.js and support/beside.js: responses that never end, as fast as the client takes
// them or byte by byte, and bombs. A request's path names one; any other path is answered as it should be.

const { bomb, BOMB_CODINGS } = require('./bomb')
const { createListener } = require('./listener')
const { RequestReader, reply } = require('./peer')
const { Records } = require('./records')
const { identity, serve } = require('./server-process')

const PIECE = 64 * 1024
/** Several times what waits for a reader. */
const SHORT_CHUNKS = 10_000
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

/** What comes first, and what comes again and again. @type {Record<string, [string, string]>} */
const floods = {
  zeros: [CHUNKED, '0'],
  'empty-lines': ['', '\r\n'],
  'one-byte-chunks': [CHUNKED, '1\r\nx\r\n'],
  'chunks-with-extensions': [CHUNKED, '1;name=value\r\nx\r\n'],
  extension: [`${CHUNKED}1;`, 'x'],
  'empty-extensions': [`${CHUNKED}1`, ';'],
  informational: ['', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'],
  fields: ['HTTP/1.1 200 OK\r\n', 'a:\r\n'],
  'one-field': ['HTTP/1.1 200 OK\r\nName: ', 'x'],
  trailers: [`${CHUNKED}0\r\n`, 'a:\r\n'],
}

/** The same, a byte at a time. */
const trickles = {
  'trickled-zeros': [CHUNKED, '0'],
  'trickled-extension': [`${CHUNKED}1;`, 'x'],
  'trickled-empty-lines': ['', '\r\n'],
  'trickled-head': ['HTTP/1.1 200 OK\r\nName: ', 'x'],
  'trickled-body': ['HTTP/1.1 200 OK\r\n\r\n', 'x'],
}

function flood(stream, [first, again]) {
  const piece = Buffer.from(again.repeat(PIECE / again.length))
  // In turns, so that the server has time for others.
  const more = () => {
    if (!stream.destroyed && stream.write(piece)) setImmediate(more)
  }
  stream.on('drain', more)
  stream.write(first)
  more()
}

function trickle(stream, [first, again]) {
  stream.write(first)
  let at = 0
  const timer = setInterval(() => stream.write(again[at++ % again.length]), 2)
  stream.on('close', () => clearInterval(timer))
}

const open = new Set()

const server = createListener(identity, (stream, raw) => {
  open.add(raw)
  raw.on('close', () => {
    open.delete(raw)
    stream.destroy()
  })
  stream.on('error', () => {})
  const reader = new RequestReader()
  stream.on('data', (bytes) =>
    reader.feed(
      bytes,
      () => {},
      ({ target }) => {
        const name = target.slice(1)
        if (floods[name]) flood(stream, floods[name])
        else if (trickles[name]) trickle(stream, trickles[name])
        else if (name === 'short-chunks') stream.write(`${CHUNKED}${'1\r\nx\r\n'.repeat(SHORT_CHUNKS)}0\r\n\r\n`)
        else if (name === 'bomb')
          stream.write(reply(bomb().toString('latin1'), [`Content-Encoding: ${BOMB_CODINGS}`]), 'latin1')
        else if (name.startsWith('own/')) stream.write(reply(name.slice('own/'.length)))
        else stream.write(reply('hello'))
      },
    ),
  )
})

const PARTIAL = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'

/** What a server can say without end that is no data, or hardly any. @type {Record<string, (records: Records) => void>} */
const recordFloods = {
  sessions: (records) => records.flood('session', 400),
  'sessions-in-a-body': (records) => {
    records.send('data', [PARTIAL])
    records.flood('session', 400)
  },
  'sessions-between-data': (records) => {
    records.send('data', ['HTTP/1.1 200 OK\r\n\r\n'])
    const more = () => records.send('data', ['x'])
    setInterval(more, 5).unref()
    records.flood('session', 400)
  },
  'records-of-a-byte': (records) => {
    records.send('data', ['HTTP/1.1 200 OK\r\n\r\n'])
    records.flood('data', [...'x'.repeat(400)])
  },
  keys: (records) => records.flood('keys', 400),
  nothing: (records) => records.flood('data', 400),
}

/** Over TLS: such floods, named by paths; after any other path's response there is one as well. */
const recordServer = createListener(identity, (stream, raw, cable) => {
  open.add(raw)
  raw.on('close', () => {
    open.delete(raw)
    stream.destroy()
  })
  stream.on('error', () => {})
  const records = cable && new Records(stream, raw, cable)
  let floods = false
  stream.on('data', (bytes) => {
    const name = /^GET \/(\S*)/.exec(bytes.toString('latin1'))?.[1] ?? ''
    if (recordFloods[name]) return recordFloods[name](records)
    records.send('data', [reply('hello')])
    if (!floods) records.flood('session', 400)
    floods = true
  })
})

if (require.main === module) serve({ port: server, recordPort: recordServer }, () => ({ open: open.size }))

module.exports = { SHORT_CHUNKS, floods, recordFloods, trickles }
