'use strict'

// HTTP/2 over loopback: servers of the runtime that runs the test, and requests of its https module.

const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')

const { makeAuthority } = require('./authority')
const { listen, SecureAgent } = require('./secure')
const { turns } = require('./wait')

const authority = makeAuthority()

/**
 * Node 18 crashes when it collects the TLS of a socket that ended under a session's writes: there it collects none.
 * @type {unknown[] | undefined}
 */
const kept = process.versions.node.startsWith('18.') ? [] : undefined

/**
 * A server, by its streams (core API) or by requests and responses (compat API).
 * @param {import('./suite').Scope} scope
 * @param {{ onStream?: Function, onRequest?: Function, settings?: object, options?: object, isClear?: boolean }} how
 *   `isClear`: without TLS
 */
async function http2Server(scope, { onStream, onRequest, settings, options = {}, isClear = false }) {
  const { server: identity } = await authority
  const server = isClear
    ? http2.createServer({ settings, ...options }, onRequest)
    : http2.createSecureServer({ cert: identity.pem, key: identity.key, settings, ...options }, onRequest)
  const sessions = new Set()
  const counts = { sessions: 0, streams: 0 }
  server.on('session', (session) => {
    counts.sessions += 1
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream) => {
    counts.streams += 1
    stream.on('error', () => {})
  })
  server.on('sessionError', () => {})
  server.on('secureConnection', (/** @type {any} */ socket) => kept?.push(socket._handle))
  if (onStream !== undefined) server.on('stream', onStream)
  const served = await listen(scope, server)
  // Before their sockets: Node 18 crashes when it collects the TLS of a socket that was destroyed under a session's writes.
  scope.defer(async () => {
    for (const session of sessions) session.destroy()
    await turns(2)
  })
  return Object.assign(served, { counts, openSessions: sessions })
}

/**
 * What stands between a client and a server, and can be cut.
 * @param {import('./suite').Scope} scope
 * @param {number} port the server's
 */
async function relay(scope, port) {
  const sockets = new Set()
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1')
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => {
    cut()
    return new Promise((resolve) => server.close(resolve))
  })
  return { port: server.address().port, cut }
}

/**
 * An agent for it.
 * @param {import('./suite').Scope} scope
 * @param {object} [options]
 */
async function http2Agent(scope, options = {}) {
  const { root } = await authority
  return scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, http2: true, ...options }))
}

/**
 * What comes of a request: its response, or its error.
 * @param {object} options
 * @param {{ body?: string | Buffer, request?: (request: any) => void, use?: (request: any) => void }} [how]
 */
function outcome(options, { body, use } = {}) {
  return new Promise((resolve) => {
    const told = { information: [] }
    const { request: begin } = options.agent?.protocol === 'http:' ? http : https
    const request = begin({ host: 'localhost', family: 4, ...options }, (response) => {
      const { statusCode: status, statusMessage, httpVersion, headers, rawHeaders } = response
      Object.assign(told, { status, statusMessage, httpVersion, headers, rawHeaders })
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', (error) => resolve({ ...told, lateError: error, body: Buffer.concat(chunks) }))
      response.on('end', () => {
        const { rawTrailers, trailers } = response
        const { reusedSocket: reused, socket } = request
        resolve({ ...told, body: Buffer.concat(chunks).toString(), trailers, rawTrailers, reused, socket, request })
      })
    })
    request.on('information', ({ statusCode, rawHeaders }) => told.information.push([statusCode, ...rawHeaders]))
    request.on('continue', () => told.information.push('continue'))
    request.on('error', (error) => resolve({ ...told, error, request }))
    if (use === undefined) request.end(body)
    else use(request)
  })
}

module.exports = { authority, http2Agent, http2Server, outcome, relay }
