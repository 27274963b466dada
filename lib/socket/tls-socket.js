'use strict'

// What `req.socket` shows of a connection with TLS: a SocketView that is an instance of tls.TLSSocket.
//
// The runtime's TLSSocket cannot be constructed without a handle, so the view is constructed as a SocketView and given a
// prototype of its own: what TLS adds, then SocketView's methods, then the runtime's TLSSocket.

const tls = require('node:tls')

const { nextTick } = require('../runtime/captured.js')
const { isNode } = require('../runtime/probes.js')
const { SocketView } = require('./socket.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../tls/secured.js').Secured} Secured */

/**
 * What the view's connection has agreed on.
 * @param {any} view
 * @returns {Secured | null}
 */
function securedOf(view) {
  return SocketView.connectionOf(view).secured
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

const shared = Object.create(tls.TLSSocket.prototype, methodsOf(SocketView.prototype))

/** @type {new (connection: Connection, options: object) => any} */
const TlsView = /** @type {any} */ (function TLSSocket() {})
TlsView.prototype = Object.create(shared, methodsOf(methods))
Object.defineProperty(TlsView.prototype, 'constructor', { value: tls.TLSSocket, writable: true, configurable: true })

/**
 * @param {Connection} connection
 * @param {Record<string, any>} options
 */
function createTlsView(connection, options) {
  const view = Reflect.construct(SocketView, [connection, options], TlsView)
  const own = { encrypted: true, authorized: false, authorizationError: null, alpnProtocol: null, servername: null }
  for (const [key, value] of Object.entries({ ...own, secureConnecting: true })) {
    Object.defineProperty(view, key, { value, writable: true, enumerable: true, configurable: true })
  }
  return view
}

/** How the runtime shows that none was sent. */
const NO_SERVERNAME = isNode ? false : ''

/**
 * The connection is open and hands are shaken: the view shows it.
 * @param {any} view
 * @param {Secured} secured
 * @param {any} agent
 */
function showSecured(view, secured, agent) {
  for (const text of secured.keylog ?? []) {
    const line = Buffer.from(text, 'latin1')
    view.emit('keylog', line)
    agent.emit('keylog', line, view)
  }
  view.alpnProtocol = secured.alpn
  view.servername = secured.secure.servername || NO_SERVERNAME
  view.authorized = secured.authorizationError === null
  view.authorizationError = secured.authorizationError
  view.secureConnecting = false
  view.emit('secure')
  view.emit('secureConnect')
}

module.exports = { createTlsView, showSecured }
