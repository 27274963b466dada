'use strict'

// The server process of support/remote.js: really parallel to the JavaScript thread under test. The path of a request
// chooses the shape of its response; a second port tells the counts.

const fs = require('node:fs')

const { Peer, chunkedReply, reply } = require('./peer')
const { identity, serve } = require('./server-process')

const HELLO = 'hello world'

const shapes = {
  length: (_, connection) => connection.write(reply(HELLO)),
  chunked: (_, connection) => connection.write(chunkedReply(['hello', ' ', 'world'])),
  split: (_, connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${HELLO.length}\r\n\r\n`)
    setImmediate(() => connection.write(HELLO))
  },
  'split-chunked': (_, connection) => {
    const parts = [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      '5\r\nhello\r\n',
      '6\r\n world\r\n',
      '0\r\n\r\n',
    ]
    const next = () => {
      connection.write(parts.shift())
      if (parts.length > 0) setImmediate(next)
    }
    next()
  },
  empty: (_, connection) => connection.write(reply('')),
  none: (_, connection) => connection.write('HTTP/1.1 204 No Content\r\n\r\n'),
  head: (_, connection) => connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${HELLO.length}\r\n\r\n`),
  echo: (request, connection) => connection.write(reply(request.body.toString('latin1'))),
  // FIN right behind the reply, unannounced.
  fin: (_, connection) => connection.end(reply(HELLO)),
  // The same, announced.
  closing: (_, connection) => connection.end(reply(HELLO, ['Connection: close'])),
  // A head without its body.
  never: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'),
  silent: () => {},
  // The beginning of a reply, and a reset some time after it.
  reset: (_, connection) => {
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${HELLO}`)
    setTimeout(() => connection.reset(), 5)
  },
  // A reply, and the FIN some time after it: /fin-after?50
  'fin-after': (request, connection) => {
    connection.write(reply(HELLO))
    setTimeout(() => connection.end(), Number(request.target.split('?')[1]))
  },
  // A reply, and after it one that nobody asked for; then a file tells those who can only look: /poison?PATH
  poison: (request, connection) => {
    connection.write(reply(HELLO))
    const told = request.target.split('?')[1]
    setTimeout(() => connection.socket.write(reply('poison'), 'latin1', () => fs.writeFileSync(told, '')), 20)
  },
}

const answer = (request, connection) => shapes[request.target.slice(1).split('?')[0]](request, connection)
const peer = new Peer({ onRequest: answer, forget: true }, identity)

serve({ port: peer.server }, () => ({
  accepted: peer.accepted,
  open: peer.open.size,
  peak: peer.peak,
  requests: peer.requests.length,
}))
