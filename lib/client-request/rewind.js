'use strict'

// Takes a request back from the engine, for the runtime's sockets: no byte of it has been sent, since the engine's TLS has nothing
// in common with its server's.

/**
 * Takes a request back from a connection that never opened: as it was before it had a socket, with all that it has said.
 * @param {import('./exchange.js').ClientExchange} exchange
 */
function rewind(exchange) {
  const { outgoing, req } = exchange
  const connection = /** @type {import('../exchange/connection.js').Connection} */ (exchange.connection)
  const unsent = outgoing.takeBack()
  // With its socket it has said already that it is complete: once is enough.
  if (req.finished && req.socket === connection.socket) {
    Object.defineProperty(req, '_finish', { value: finishedBefore, configurable: true, writable: true })
  }
  exchange.settle()
  connection.noteClosed()
  connection.socket._httpMessage = null
  connection.socket.destroy()
  exchange.connection = null
  req.socket = null
  if (!exchange.hasEarlyTimeout) req.timeoutCb = null
  Reflect.deleteProperty(req, 'setTimeout')
  if (exchange.timeoutMs !== undefined) req.timeout = exchange.timeoutMs
  req.reusedSocket = false
  // Without a socket it keeps them for the next one.
  for (const { data, encoding, callback } of unsent) req._writeRaw(data, encoding, callback)
}

/** @this {any} a request */
function finishedBefore() {
  Reflect.deleteProperty(this, '_finish')
}

module.exports = { rewind }
