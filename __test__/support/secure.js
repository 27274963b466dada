'use strict'

// HTTPS over loopback: servers of the runtime that runs the test, requests, and how their outcomes are told and compared.

const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')

const { agentUnderTest } = require('./runtime')

const SecureAgent = agentUnderTest('https')

/** Ports that a server of this process had. */
const usedPorts = new Set()

/**
 * Deno's servers take up one another's sessions, and a port may come again: the connection to one server would then resume
 * what was agreed with another.
 * @param {import('node:net').Server} server
 * @param {() => void} done
 */
function listenOnNewPort(server, done) {
  server.listen(0, '127.0.0.1', () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    if (usedPorts.has(port)) return server.close(() => listenOnNewPort(server, done))
    usedPorts.add(port)
    done()
  })
}

/**
 * Listens on loopback until the test ends.
 * @param {import('./suite').Scope} scope
 * @param {net.Server} server
 */
async function listen(scope, server) {
  const sockets = new Set()
  const accepted = { connections: 0, handshakes: 0, resumed: 0, open: 0 }
  server.on('connection', (socket) => {
    accepted.connections += 1
    sockets.add(socket)
    accepted.open += 1
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      accepted.open -= 1
    })
  })
  server.on('secureConnection', (socket) => {
    accepted.handshakes += 1
    if (socket.isSessionReused?.()) accepted.resumed += 1
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  await new Promise((resolve, reject) => {
    server.on('error', reject)
    listenOnNewPort(server, resolve)
  })
  scope.defer(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return Object.assign(accepted, { port: server.address().port, server })
}

/**
 * An HTTPS server of the runtime's own.
 * @param {import('./suite').Scope} scope
 * @param {{ pem: string, key: string }} identity
 * @param {https.ServerOptions} [options]
 * @param {(request: object, response: object) => void} [answer]
 */
function secureServer(scope, identity, options = {}, answer = (_request, response) => response.end('ok')) {
  return listen(scope, https.createServer({ cert: identity.pem, key: identity.key, ...options }, answer))
}

/** A TLS server whose connections are handled raw. */
function rawSecureServer(scope, identity, onSocket, options = {}) {
  return listen(scope, tls.createServer({ cert: identity.pem, key: identity.key, ...options }, onSocket))
}

/** A TCP server. */
function plainServer(scope, onSocket) {
  return listen(scope, net.createServer(onSocket))
}

/** OpenSSL's errors name a thread, a function and a line: only what they say is compared. */
function told(message) {
  return message
    .replace(/(?:[0-9A-F]+:)?error:[0-9A-Fa-f]*:?SSL routines:[^:]*:/, 'SSL:')
    .replace(/:[^:]*\.c(?:c)?:\d+:/, ':')
    .trim()
}

function tellError(error) {
  const { code, errno, syscall, host, reason, library } = error
  return {
    code,
    errno: errno || undefined,
    syscall,
    host,
    reason,
    library,
    message: told(error.message),
    certificate: error.cert ? error.cert.fingerprint256 : undefined,
  }
}

function tellSocket(socket) {
  return {
    encrypted: socket.encrypted,
    authorized: socket.authorized,
    authorizationError: socket.authorizationError,
    alpnProtocol: socket.alpnProtocol,
    servername: socket.servername,
    protocol: socket.getProtocol(),
    // Bun's own has no such method.
    isSessionReused: socket.isSessionReused?.() ?? false,
  }
}

/**
 * What one GET comes to.
 * @returns {Promise<object>}
 */
function outcome(options, get = https.get) {
  return new Promise((resolve) => {
    let socket
    const request = get({ host: 'localhost', family: 4, ...options }, (response) => {
      socket = tellSocket(request.socket)
      const certificate = request.socket.getPeerCertificate(true)
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += chunk))
      response.on('error', (error) => resolve({ status: response.statusCode, body, error: tellError(error) }))
      response.on('end', () => resolve({ status: response.statusCode, body, socket, certificate }))
    })
    request.on('error', (error) => resolve({ error: tellError(error) }))
  })
}

module.exports = { listen, outcome, plainServer, rawSecureServer, SecureAgent, secureServer, tellError, tellSocket }
