'use strict'

// What `req.socket` shows of a connection with TLS: an EngineSocket that is an instance of tls.TLSSocket.
//
// The runtime's TLSSocket cannot be constructed without a handle, so the socket is constructed as an EngineSocket, and its class
// given another prototype: what TLS adds, then EngineSocket's methods, then the runtime's TLSSocket.

const { nextTick } = require('../runtime/captured.js')
const { isNode } = require('../runtime/probes.js')
const secure = require('../runtime/late.js')
const { EngineSocket } = require('./socket.js')

const tls = secure.tls()

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../tls/secured.js').Secured} Secured */

/**
 * What the socket's connection has agreed on.
 * @param {any} socket
 * @returns {Secured | null}
 */
function securedOf(socket) {
  return EngineSocket.connectionOf(socket).secured
}

const methods = {
  /** @this {any} */
  getProtocol() {
    return securedOf(this)?.protocol ?? null
  },
  /** @this {any} */
  getCipher() {
    const cipher = securedOf(this)?.cipher
    return cipher === undefined ? null : { ...cipher }
  },
  /**
   * @this {any}
   * @param {boolean} [detailed]
   */
  getPeerCertificate(detailed) {
    return securedOf(this)?.peerCertificate(Boolean(detailed)) ?? {}
  },
  /** @this {any} */
  getPeerX509Certificate() {
    return securedOf(this)?.chain[0]
  },
  /** @this {any} */
  getCertificate() {
    return securedOf(this)?.ownCertificate() ?? {}
  },
  /** @this {any} */
  isSessionReused() {
    return securedOf(this)?.isResumed ?? false
  },
  /** The engine keeps sessions to itself. */
  getSession() {
    return undefined
  },
  getTLSTicket() {
    return undefined
  },
  getEphemeralKeyInfo() {
    return null
  },
  getFinished() {
    return undefined
  },
  getPeerFinished() {
    return undefined
  },
  getSharedSigalgs() {
    return []
  },
  setSession() {},
  setServername() {},
  enableTrace() {},
  disableRenegotiation() {},
  setMaxSendFragment() {
    return false
  },
  /**
   * @param {unknown} _options
   * @param {(error: Error) => void} [callback]
   */
  renegotiate(_options, callback) {
    const error = Object.assign(new Error('TLS session renegotiation disabled for this socket'), {
      code: 'ERR_TLS_RENEGOTIATION_DISABLED',
    })
    if (callback) nextTick(callback, error)
    return false
  },
  exportKeyingMaterial() {
    throw Object.assign(new Error('TLS socket connection must be securely established'), {
      code: 'ERR_TLS_INVALID_STATE',
    })
  },
}

/** @param {object} from */
function methodsOf(from) {
  const descriptors = Object.getOwnPropertyDescriptors(from)
  Reflect.deleteProperty(descriptors, 'constructor')
  return descriptors
}

const shared = Object.create(tls.TLSSocket.prototype, methodsOf(EngineSocket.prototype))

/**
 * A class that extends another, since V8 keeps one shape for all objects of such a one. Of a plain function that is given as
 * new.target it makes a new shape for each object, which then has none of its properties' places known in advance.
 */
class TlsEngineSocket extends EngineSocket {
  encrypted = true
  authorized = false
  authorizationError = null
  alpnProtocol = null
  servername = null
  secureConnecting = true
}
Object.setPrototypeOf(TlsEngineSocket.prototype, shared)
Object.defineProperties(TlsEngineSocket.prototype, {
  ...methodsOf(methods),
  constructor: { value: tls.TLSSocket, writable: true, configurable: true },
})

/**
 * @param {Connection} connection
 * @param {Record<string, any>} options
 * @returns {any} it shows what its type does not
 */
function createTlsSocket(connection, options) {
  return new TlsEngineSocket(connection, options)
}

/** How the runtime shows that none was sent. */
const NO_SERVERNAME = isNode ? false : ''

/**
 * The connection is open and hands are shaken: the socket shows it.
 * @param {any} socket
 * @param {Secured} secured
 * @param {any} agent
 */
function showSecured(socket, secured, agent) {
  for (const text of secured.keylog ?? []) {
    const line = Buffer.from(text, 'latin1')
    socket.emit('keylog', line)
    agent.emit('keylog', line, socket)
  }
  socket.alpnProtocol = secured.alpn
  socket.servername = secured.secure.servername || NO_SERVERNAME
  socket.authorized = secured.authorizationError === null
  socket.authorizationError = secured.authorizationError
  socket.secureConnecting = false
  socket.emit('secure')
  socket.emit('secureConnect')
}

module.exports = { createTlsSocket, showSecured }
