'use strict'

// A connection's handshake as this thread hears of it: facts, the question whether the peer is who it should be, and what
// the socket shows once the connection is open.

const { ASK } = require('../bridge/layout.js')
const native = require('../bridge/native.js')
const { Secured } = require('./secured.js')
const { showSecured } = require('../socket/tls-socket.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */

/**
 * @param {Connection} connection
 * @param {number} flags of SECURED
 * @param {string} text of SECURED
 */
function onSecured(connection, flags, text) {
  const { secure } = /** @type {import('../agent/https-origin.js').SecureOrigin} */ (connection.origin)
  const secured = new Secured(/** @type {import('./settings.js').Secure} */ (secure), flags, text)
  connection.secured = secured
  if ((flags & ASK) === 0 || connection.socket.destroyed) return
  const { exchange } = connection
  if (exchange === null) judge(connection, secured)
  else exchange.resource.runInAsyncScope(judge, null, connection, secured)
}

/**
 * Decides whether the peer is who it should be; nothing was sent to it yet.
 * @param {Connection} connection
 * @param {Secured} secured
 */
function judge(connection, secured) {
  const { socket } = connection
  let error
  try {
    error = secured.identityError()
  } catch (thrown) {
    socket.destroy()
    throw thrown
  }
  if (error && secured.secure.rejectUnauthorized) {
    socket.destroy(error)
    return
  }
  if (error) {
    secured.authorizationError = error.code ?? error.message
    // The engine does not know of it, so nobody else could be told.
    native.bind(connection.id)
  }
  connection.port.submission.approve(connection.id)
}

/** @param {Connection} connection it is open */
function announce({ origin, secured, socket }) {
  if (secured === null) return
  const of = /** @type {import('../agent/https-origin.js').SecureOrigin} */ (origin)
  of.isProven = true
  showSecured(socket, secured, of.origins.agent)
}

module.exports = { announce, onSecured }
