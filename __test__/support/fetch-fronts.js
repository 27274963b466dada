'use strict'

// What stands before a server for fetch() so that it is reached over TLS: over HTTP/1.1 byte by byte, over HTTP/2 message by
// message. What is no message ends its stream with an error.

const http = require('node:http')
const http2 = require('node:http2')
const net = require('node:net')
const tls = require('node:tls')

const { cert, key } = require('./fetch-tls')

/** What HTTP/2 has no place for. */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'proxy-connection',
  'te',
  'http2-settings',
])

/** @param {net.Server} server */
async function listen(server) {
  const sockets = new Set()
  for (const event of ['connection', 'secureConnection']) {
    server.on(event, (socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    })
  }
  server.on('tlsClientError', () => {})
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: /** @type {net.AddressInfo} */ (server.address()).port,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    },
  }
}

/** @param {number} port */
function http1Front(port) {
  return listen(
    tls.createServer({ cert, key }, (near) => {
      const far = net.connect({ port, host: '127.0.0.1' })
      far.on('error', () => near.destroy())
      far.on('close', () => near.destroy())
      near.on('error', () => far.destroy())
      near.on('close', () => far.destroy())
      near.pipe(far).pipe(near)
    }),
  )
}

/** @param {number} port */
async function http2Front(port) {
  const server = http2.createSecureServer({ cert, key })
  const sessions = new Set()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('sessionError', () => {})
  server.on('stream', (stream, headers) => carry(stream, headers, port))
  const front = await listen(server)
  return {
    port: front.port,
    close() {
      for (const session of sessions) session.destroy()
      return front.close()
    },
  }
}

/** @param {string[]} lines names and values in turn */
function fieldsOf(lines) {
  const fields = {}
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at].toLowerCase()
    if (CONNECTION_FIELDS.has(name)) continue
    fields[name] = name in fields ? [fields[name], lines[at + 1]].flat() : lines[at + 1]
  }
  return fields
}

/**
 * @param {http2.ServerHttp2Stream} stream
 * @param {http2.IncomingHttpHeaders} headers
 * @param {number} port
 */
function carry(stream, headers, port) {
  const { ':method': method, ':path': path, ':authority': host, ...fields } = headers
  for (const name of Object.keys(fields)) if (name.startsWith(':')) delete fields[name]
  // The runtime's own client refuses it beside a length.
  delete fields.trailer
  const request = http.request({ port, host: '127.0.0.1', method, path, agent: false, headers: { ...fields, host } })
  // The runtime's own client sends a DELETE's body without framing, unless it has a length.
  if (!stream.endAfterHeaders) request.useChunkedEncodingByDefault = true
  // close() would end it in peace first.
  const broken = () => {
    if (!stream.destroyed) stream.destroy(new Error('broken'))
  }
  request.on('error', broken)
  stream.on('error', () => request.destroy())
  stream.on('close', () => request.destroy())
  request.on('information', ({ statusCode, rawHeaders }) => {
    if (!stream.destroyed) stream.additionalHeaders({ ':status': statusCode, ...fieldsOf(rawHeaders) })
  })
  request.on('response', (response) => {
    response.on('error', broken)
    if (stream.destroyed) return
    try {
      stream.respond({ ':status': response.statusCode, ...fieldsOf(response.rawHeaders) }, { sendDate: false })
    } catch {
      broken()
      return
    }
    response.pipe(stream)
  })
  stream.pipe(request)
}

const FRONTS = { https: http1Front, h2: http2Front }

module.exports = { CONNECTION_FIELDS, FRONTS }
