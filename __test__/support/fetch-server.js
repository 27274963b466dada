'use strict'

// A server for fetch(): its paths answer with every kind of response, well-formed or not. `other` is a second origin.

const zlib = require('node:zlib')

const { FRONTS } = require('./fetch-fronts')
const { Peer, chunkedReply, reply } = require('./peer')
const { deferred } = require('./wait')

const TEXT = 'hello fetch, '.repeat(40)
const LARGE = Buffer.alloc(1024 * 1024, 'keepwire ')

const encoded = {
  gzip: () => zlib.gzipSync(TEXT),
  'x-gzip': () => zlib.gzipSync(TEXT),
  deflate: () => zlib.deflateSync(TEXT),
  br: () => zlib.brotliCompressSync(TEXT),
  'gzip, br': () => zlib.brotliCompressSync(zlib.gzipSync(TEXT)),
}

const latin1 = (bytes) => bytes.toString('latin1')

/** By the first part of the path; the rest and the query are arguments. */
const routes = {
  text: (c) => c.write(reply('hello', ['Content-Type: text/plain'])),
  empty: (c) => c.write(reply('')),
  echo(c, request) {
    const { method, target, headers } = request
    const body = request.body.toString('latin1')
    // ASCII only: what goes out here is latin1, what JSON is read as is UTF-8.
    const escaped = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
    const told = JSON.stringify({ method, target, headers, body }).replace(/[^\x20-\x7e]/g, escaped)
    c.write(reply(told, ['Content-Type: application/json']))
  },
  status: (c, _, [status]) =>
    c.write(
      /204|205|304/.test(status)
        ? `HTTP/1.1 ${status} X\r\n${status === '205' ? 'Content-Length: 0\r\n' : ''}\r\n`
        : reply('body', [], `HTTP/1.1 ${status} X`),
    ),
  reason: (c) => c.write(reply('ok', [], 'HTTP/1.1 200 Very Fine')),
  noreason: (c) => c.write(reply('ok', [], 'HTTP/1.1 200 ')),
  redirect(c, _, [status], query) {
    c.write(reply('moved', [`Location: ${query.get('to')}`], `HTTP/1.1 ${status} Moved`))
  },
  nolocation: (c, _, [status]) => c.write(reply('nowhere', [], `HTTP/1.1 ${status} Moved`)),
  chain(c, _, [left]) {
    if (left === '0') return c.write(reply('end'))
    c.write(reply('', [`Location: /chain/${left - 1}`], 'HTTP/1.1 302 Found'))
  },
  encoded(c, _, [name]) {
    const body = latin1(encoded[name]())
    c.write(reply(body, [`Content-Encoding: ${name}`, 'Content-Type: text/plain']))
  },
  chunkedgzip: (c) => {
    const bytes = latin1(encoded.gzip())
    c.write(chunkedReply([bytes.slice(0, 10), bytes.slice(10)], ['Content-Encoding: gzip']))
  },
  rawdeflate: (c) => c.write(reply(latin1(zlib.deflateRawSync(TEXT)), ['Content-Encoding: deflate'])),
  badgzip: (c) => c.write(reply('this is no gzip at all', ['Content-Encoding: gzip'])),
  emptygzip: (c) => c.write(reply('', ['Content-Encoding: gzip'])),
  unknownencoding: (c) => c.write(reply('as it is', ['Content-Encoding: sdch'])),
  cookies: (c) => c.write(reply('ok', ['Set-Cookie: a=1; Path=/', 'Set-Cookie: b=2'])),
  headers: (c) =>
    c.write(reply('ok', ['X-Many: one', 'X-Many: two', 'X-Empty:', 'X-Space:   around  ', 'X-Latin: caf\xe9'])),
  json: (c) => c.write(reply('{"a":[1,2]}', ['Content-Type: application/json'])),
  badjson: (c) => c.write(reply('{"a":', ['Content-Type: application/json'])),
  bom: (c) => c.write(reply('\xef\xbb\xbfgr\xc3\xbc\xc3\x9fe')),
  invalidutf8: (c) => c.write(reply('a\xffb\xc3')),
  multipart: (c) =>
    c.write(
      reply('--x\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n--x--\r\n', [
        'Content-Type: multipart/form-data; boundary=x',
      ]),
    ),
  urlencoded: (c) => c.write(reply('a=1&b=two+words', ['Content-Type: application/x-www-form-urlencoded'])),
  chunked: (c) => c.write(chunkedReply(['hel', 'lo'])),
  trailers: (c) => c.write(chunkedReply(['hello'], ['Trailer: X-T'], ['X-T: 1'])),
  close: (c) => c.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end'),
  split(c) {
    c.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
    setImmediate(() => c.write('hello'))
  },
  begun: (c) => c.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'),
  large: (c) => c.write(reply(latin1(LARGE))),
  informational: (c) => c.write(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${reply('final')}`),
  hang: () => {},
  drop: (c) => c.socket.destroy(),
  reset: (c) => c.reset(),
  half(c) {
    c.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
    setImmediate(() => c.socket.end())
  },
  halfchunk(c) {
    c.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    setImmediate(() => c.socket.end())
  },
  badheader: (c) => c.end('HTTP/1.1 200 OK\r\nbad header\r\n\r\n'),
  badstatus: (c) => c.end('HTTP/1.1 abc OK\r\n\r\n'),
  badchunk(c) {
    c.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    setImmediate(() => c.end('zz\r\nhello\r\n0\r\n\r\n'))
  },
  nohttp: (c) => c.end('SSH-2.0-OpenSSH\r\n'),
}

/** Answers a request as its path says. */
function answer(request, connection) {
  const { pathname, searchParams } = new URL(request.target, 'http://server')
  const [name, ...rest] = pathname.slice(1).split('/').map(decodeURIComponent)
  if (routes[name]) routes[name](connection, request, rest, searchParams)
  else connection.write(reply('no such path', [], 'HTTP/1.1 404 Not Found'))
}

/**
 * @param {'http' | 'https' | 'h2'} [scheme] what is spoken: `https` is HTTP/1.1 over TLS, `h2` HTTP/2
 * @returns {Promise<object>} `url(path)`, `otherUrl(path)`, `seen(path)`: resolves when a request for it is there
 */
async function startFetchServer(scheme = 'http') {
  const waiting = new Map()
  const seen = (path) => {
    if (!waiting.has(path)) waiting.set(path, deferred())
    return waiting.get(path).promise
  }
  const onRequest = (request, connection) => {
    seen(request.target)
    waiting.get(request.target).resolve({ request, connection })
    answer(request, connection)
  }
  const peer = new Peer({ onRequest })
  const other = new Peer({ onRequest })
  await Promise.all([peer.listen(), other.listen()])
  const fronts = scheme === 'http' ? [] : await Promise.all([peer, other].map(({ port }) => FRONTS[scheme](port)))
  const [origin, otherOrigin] = [peer, other].map(
    ({ port }, at) => `${fronts.length === 0 ? 'http' : 'https'}://127.0.0.1:${fronts[at]?.port ?? port}`,
  )
  return {
    peer,
    other,
    seen,
    origin,
    otherOrigin,
    url: (path) => origin + path,
    otherUrl: (path) => otherOrigin + path,
    async stop() {
      await Promise.all(fronts.map((front) => front.close()))
      await Promise.all([peer.close(), other.close()])
    },
  }
}

module.exports = { LARGE, TEXT, answer, startFetchServer }
