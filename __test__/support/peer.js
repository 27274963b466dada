'use strict'

// A server on loopback made of raw sockets, under TLS if it has an identity. It counts connections, keeps every byte that
// arrives, reads requests with its own small parser, and answers with whatever bytes a test likes, well-formed or not.

const { createListener, reset } = require('./listener')
const { deferred } = require('./wait')

/** Reads requests from a byte stream. Understands heads, Content-Length, chunked bodies and trailers. */
class RequestReader {
  #pending = Buffer.alloc(0)
  #request = null

  /** Calls `onHead(request)` when a head is complete and `onRequest(request)` when its body is. */
  feed(bytes, onHead, onRequest) {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    for (;;) {
      if (this.#request === null) {
        const end = this.#pending.indexOf('\r\n\r\n')
        if (end < 0) return
        this.#request = parseHead(this.#pending.toString('latin1', 0, end))
        this.#pending = this.#pending.subarray(end + 4)
        onHead(this.#request)
        if (this.#request.upgraded) return
      }
      if (!this.#readBody(this.#request)) return
      const request = this.#request
      this.#request = null
      request.body = Buffer.concat(request.body)
      request.complete = true
      onRequest(request)
    }
  }

  /** Bytes after the head of an upgraded request. */
  takeRest() {
    const rest = this.#pending
    this.#pending = Buffer.alloc(0)
    return rest
  }

  #readBody(request) {
    if (!request.chunked) {
      const part = this.#pending.subarray(0, request.remaining)
      this.#pending = this.#pending.subarray(part.length)
      request.remaining -= part.length
      request.received += part.length
      if (part.length > 0 && !request.discard) request.body.push(part)
      return request.remaining === 0
    }
    for (;;) {
      if (request.remaining > 0) {
        // The chunk's data and the line end after it.
        if (this.#pending.length < request.remaining + 2) return false
        request.body.push(this.#pending.subarray(0, request.remaining))
        request.received += request.remaining
        this.#pending = this.#pending.subarray(request.remaining + 2)
        request.remaining = 0
      }
      const lineEnd = this.#pending.indexOf('\r\n')
      if (lineEnd < 0) return false
      if (request.inTrailers) {
        const line = this.#pending.toString('latin1', 0, lineEnd)
        this.#pending = this.#pending.subarray(lineEnd + 2)
        if (line === '') return true
        request.trailers.push(line)
        continue
      }
      request.remaining = parseInt(this.#pending.toString('latin1', 0, lineEnd), 16)
      this.#pending = this.#pending.subarray(lineEnd + 2)
      request.chunks++
      if (request.remaining === 0) request.inTrailers = true
    }
  }
}

function parseHead(text) {
  const [requestLine, ...lines] = text.split('\r\n')
  const [method, target] = requestLine.split(' ')
  const headers = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return {
    method,
    target,
    head: text,
    headers,
    chunked: /chunked/i.test(headers['transfer-encoding'] || ''),
    remaining: Number(headers['content-length'] || 0),
    received: 0,
    chunks: 0,
    inTrailers: false,
    trailers: [],
    body: [],
    complete: false,
    discard: false,
    upgraded: false,
  }
}

let serial = 0

/** One accepted connection. */
class Connection {
  constructor(socket, raw, peer) {
    this.id = ++serial
    this.socket = socket
    this.raw = raw
    this.peer = peer
    this.requests = []
    this.received = []
    this.bytesReceived = 0
    this.closed = deferred()
    this.hasEnded = false
    this.sawEnd = deferred()
  }

  /** Every byte that arrived on this connection. */
  bytes() {
    return Buffer.concat(this.received)
  }

  write(bytes) {
    return this.socket.write(bytes, 'latin1')
  }

  end(bytes) {
    this.socket.end(bytes, 'latin1')
  }

  /** Closes with a TCP reset. */
  reset() {
    reset(this.raw)
  }
}

class Peer {
  /**
   * @param {object | Function} handlers `onRequest(request, connection)` or an object with it, `onConnection(connection)`,
   *   `onHead(request, connection)`, `onBytes(bytes, connection)` (then requests are not parsed)
   * @param {import('./listener').Identity} [identity] speaks TLS
   */
  constructor(handlers = {}, identity) {
    this.handlers = typeof handlers === 'function' ? { onRequest: handlers } : handlers
    this.connections = []
    this.open = new Set()
    this.requests = []
    this.peak = 0
    this.#waiting = []
    this.server = createListener(identity, (stream, raw) => this.#accept(stream, raw))
  }

  #waiting

  listen(options = { host: '127.0.0.1', port: 0 }) {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(options, () => {
        this.port = this.server.address().port
        resolve(this)
      })
    })
  }

  /** Connections ever accepted. */
  get accepted() {
    return this.connections.length
  }

  /** Connections that the client has not closed, as far as the server knows. */
  get alive() {
    return [...this.open].filter((connection) => !connection.hasEnded).length
  }

  #accept(socket, raw) {
    const connection = new Connection(socket, raw, this)
    this.connections.push(connection)
    this.open.add(connection)
    this.peak = Math.max(this.peak, this.open.size)
    const reader = new RequestReader()
    raw.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('end', () => {
      connection.hasEnded = true
      connection.sawEnd.resolve()
    })
    raw.on('close', () => {
      this.open.delete(connection)
      connection.sawEnd.resolve()
      connection.closed.resolve()
      if (this.open.size === 0) for (const wake of this.#waiting.splice(0)) wake()
    })
    const { onBytes, onHead, onRequest } = this.handlers
    socket.on('data', (bytes) => {
      connection.bytesReceived += bytes.length
      if (!this.handlers.forget) connection.received.push(bytes)
      if (onBytes) return onBytes(bytes, connection)
      reader.feed(
        bytes,
        (request) => {
          this.requests.push(request)
          connection.requests.push(request)
          request.connection = connection
          if (onHead) onHead(request, connection)
        },
        (request) => onRequest?.(request, connection),
      )
    })
    if (this.handlers.onConnection) this.handlers.onConnection(connection)
  }

  /** Resolves once no connection is open; fails when that takes longer than `deadlineMs`. */
  nobodyConnected(deadlineMs) {
    if (this.open.size === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(
          new Error(
            `${this.open.size} of ${this.accepted} connections are still open ${deadlineMs} ms after agent.destroy()`,
          ),
        )
      }, deadlineMs)
      this.#waiting.push(() => {
        clearTimeout(late)
        resolve()
      })
    })
  }

  close() {
    for (const connection of this.open) connection.raw.destroy()
    return new Promise((resolve) => this.server.close(() => resolve()))
  }
}

/** Bytes of a response with a body by length. */
function reply(body = 'ok', headers = [], statusLine = 'HTTP/1.1 200 OK') {
  return [statusLine, ...headers, `Content-Length: ${Buffer.byteLength(body, 'latin1')}`, '', body].join('\r\n')
}

/** Bytes of a chunked response. */
function chunkedReply(chunks, headers = [], trailers = []) {
  const framed = chunks.map((chunk) => `${Buffer.byteLength(chunk, 'latin1').toString(16)}\r\n${chunk}\r\n`).join('')
  const end = ['0', ...trailers, '', ''].join('\r\n')
  return ['HTTP/1.1 200 OK', ...headers, 'Transfer-Encoding: chunked', '', framed + end].join('\r\n')
}

/**
 * Nobody listens here: systems give it to nobody who asks for any port, as they would one that was free a moment ago.
 * Unlike port 1 the standard lets `fetch` ask there.
 */
const DEAD_PORT = 2

module.exports = { DEAD_PORT, Peer, RequestReader, chunkedReply, reply }
