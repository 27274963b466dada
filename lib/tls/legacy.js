'use strict'

// Servers that have nothing in common with the engine's TLS: old versions, suites, keys and groups only. What the runtime
// can do with them, it does: their requests go its own way, and for a while later ones go there at once.

const { now } = require('../captured.js')

/** Why requests to them go that way. */
const LEGACY_SERVER = 'tls-legacy-server'

/** How long a server is remembered: it may be renewed one day. */
const REMEMBERED_MS = 600_000
const MOST_REMEMBERED = 1024

/** Until when, by what makes connections interchangeable. @type {Map<string, number>} */
const remembered = new Map()

/** @param {string} identity an origin's */
function rememberLegacy(identity) {
  if (remembered.size >= MOST_REMEMBERED) remembered.clear()
  const until = now() + REMEMBERED_MS
  remembered.set(identity, until)
  return until
}

/**
 * @param {string} identity an origin's
 * @returns {number} 0: its server is none of them, as far as known
 */
function legacyUntil(identity) {
  return remembered.get(identity) ?? 0
}

/**
 * Whether some server at this place was one of them, for some TLS settings.
 * @param {string} host
 * @param {number} port
 */
function mayBeLegacy(host, port) {
  if (remembered.size === 0) return false
  const place = `${host}:${port}:`
  for (const identity of remembered.keys()) if (identity.startsWith(place)) return true
  return false
}

/**
 * Takes a request back from a connection that never opened: as it was before it had a socket, with all that it has said.
 * @param {import('../carry.js').Exchange} exchange
 */
function rewind(exchange) {
  const { outgoing, req } = exchange
  const connection = /** @type {import('../connection.js').Connection} */ (exchange.connection)
  const unsent = outgoing.takeBack()
  // With its socket it has said already that it is complete: once is enough.
  if (req.finished && req.socket === connection.view) {
    Object.defineProperty(req, '_finish', { value: finishedBefore, configurable: true, writable: true })
  }
  exchange.settle()
  connection.noteClosed()
  connection.view._httpMessage = null
  connection.view.destroy()
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

module.exports = { LEGACY_SERVER, legacyUntil, mayBeLegacy, rememberLegacy, rewind }
