'use strict'

// How a request of the runtime's ends without its response's end: failures of its connection, timeouts, and connections that
// their user has ended; as events that the runtime's own socket and parser would cause.

const { AFTER_HEAD, MAY_DO, MIGHT_DO, PROXYS, RENEGOTIATES } = require('../bridge/layout.js')
const { coded, connectionReset, emitRequestError } = require('../common/errors.js')
const { tellProxyError } = require('../common/proxies/option.js')
const { tellUnknown } = require('../exchange/connection.js')
const { complete, isDelimitedByClose } = require('./response.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../exchange/connection.js').Connection} Connection */

/** @param {ClientExchange} exchange */
function failTunnel(exchange) {
  const ms = exchange.timeout
  const error = coded('ERR_PROXY_TUNNEL', `Connection to establish proxy tunnel timed out after ${ms}ms`)
  tellProxyError(exchange, error)
  exchange.req.destroy(Object.assign(error, { proxyTunnelTimeout: ms }))
}

/** @param {ClientExchange} exchange */
function reportTimeout(exchange) {
  const { req, connection } = exchange
  // Whatever a listener of 'timeout' does, it is this that the request fails with.
  if (exchange.awaitsTunnel) failTunnel(exchange)
  if (exchange.takeTimeout()) req.emit('timeout')
  connection?.socket.emit('timeout')
  if (!exchange.isResponseEnded && req.res) req.res.emit('timeout')
}

/** @param {ClientExchange} exchange */
function part(exchange) {
  const { socket } = /** @type {Connection} */ (exchange.connection)
  if (exchange.isSettled || socket.destroyed) return
  try {
    socket.emit('end')
  } finally {
    // A listener that throws must not keep the connection.
    socket.destroy()
  }
}

/**
 * @param {ClientExchange} exchange
 * @param {number} flags
 * @param {Error & { code?: string, syscall?: string }} error
 */
function fail(exchange, flags, error) {
  exchange.noteWritten(flags)
  if ((flags & RENEGOTIATES) !== 0) exchange.origin.noteRenegotiation()
  if (exchange.isSettled) return
  if ((flags & PROXYS) !== 0) tellProxyError(exchange, error)
  if ((flags & (MAY_DO | MIGHT_DO)) !== 0) {
    const { origin } = exchange
    if (origin.takeOver(exchange, (flags & MAY_DO) !== 0)) return
    origin.noteError(error)
  }
  exchange.settle()
  const { req } = exchange
  const connection = /** @type {Connection} */ (exchange.connection)
  const { socket } = connection
  connection.noteClosed()
  if (exchange.isCheckInDue) {
    // The request is over for its user; its connection was not handed on.
    socket.destroy()
  } else if (error.code?.startsWith('HPE_')) {
    socket.destroy()
    socket._hadError = true
    emitRequestError(req, error)
  } else if (error.code === 'ERR_KEEPWIRE_BODY_TIMEOUT' && req.res) {
    // An error of the response: the request has had its answer.
    socket.destroy()
    req.res.destroy(error)
  } else if ('http2Code' in error && req.res) {
    // Its stream alone has ended: there is no connection whose end tells.
    socket.destroy()
    req.res.destroy(Object.assign(connectionReset('aborted'), { http2Code: error.http2Code }))
  } else if (error.code === 'ECONNRESET' && !error.syscall && !('host' in error)) {
    // The peer ended the connection: an error of the request before the head, of the response after it.
    socket.emit('end')
    if ((flags & AFTER_HEAD) === 0 && !req.res && !socket._hadError) {
      socket._hadError = true
      emitRequestError(req, 'http2Code' in error ? error : connectionReset('socket hang up'))
    }
    socket.destroy()
  } else {
    try {
      if (error.syscall === 'getaddrinfo' && !connection.isLookedUp) tellUnknown(connection, error)
    } finally {
      // Also if a listener throws.
      socket.destroy(error)
    }
    // Whatever ended the connection ended a body that lasts until then.
    if (req.res && !req.res.complete && isDelimitedByClose(req)) complete(req.res)
  }
}

/**
 * The socket is closed: what the request still misses is told now.
 * @param {ClientExchange} exchange
 */
function close(exchange) {
  const { req } = exchange
  const { socket } = /** @type {Connection} */ (exchange.connection)
  const { res } = req
  req.destroyed = true
  if (res) {
    if (!res.complete) res.destroy(connectionReset('aborted'))
    req._closed = true
    req.emit('close')
    if (!res.aborted && res.readable) res.push(null)
  } else {
    if (!socket._hadError) {
      socket._hadError = true
      emitRequestError(req, connectionReset('socket hang up'))
    }
    req._closed = true
    req.emit('close')
  }
  if (req.outputData) req.outputData.length = 0
}

module.exports = { close, fail, part, reportTimeout }
