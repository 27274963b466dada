'use strict'

// Servers that have nothing in common with the engine's TLS: old versions, suites, keys and groups only. What the runtime
// can do with them, it does: their requests fall back to its sockets, and for a while later ones do so at once. So do later
// requests to servers that ask for another handshake over TLS 1.2; the first one fails, as part of it has been sent.

const { now } = require('../runtime/captured.js')

const { CIPHERS } = require('./settings.js')

/** Why requests to them go that way. */
const LEGACY_SERVER = 'tls-legacy-server'

/** Why requests go that way to those that ask for another handshake when they know what is wanted, which rustls refuses. */
const RENEGOTIATION = 'tls-renegotiation'

/** How long a server is remembered: it may be renewed one day. */
const REMEMBERED_MS = 600_000
const MOST_REMEMBERED = 1024

/** @typedef {{ until: number, reason: string }} Memory */

/** Until when, and why, by what makes connections interchangeable. @type {Map<string, Memory>} */
const remembered = new Map()

/**
 * @param {string} identity an origin's
 * @param {string} reason
 */
function rememberLegacy(identity, reason) {
  if (remembered.size >= MOST_REMEMBERED) remembered.clear()
  const memory = { until: now() + REMEMBERED_MS, reason }
  remembered.set(identity, memory)
  return memory
}

/**
 * @param {string} identity an origin's
 * @returns {Memory | undefined} undefined: its server is none of them, as far as known
 */
function recallLegacy(identity) {
  if (remembered.size === 0) return undefined
  const memory = remembered.get(identity)
  if (memory === undefined || now() < memory.until) return memory
  remembered.delete(identity)
  return undefined
}

const VERSIONS = ['TLSv1.2', 'TLSv1.3']
/** The engine's groups, as OpenSSL and BoringSSL name them. */
const GROUPS = ['X25519', 'prime256v1', 'secp256r1', 'P-256', 'secp384r1', 'P-384']
const CURVES = ['prime256v1', 'secp384r1']
/** Bits of RSA keys. */
const SHORTEST_RSA = 2048
const LONGEST_RSA = 8192

/**
 * Whether a handshake of the runtime's has come to something that the engine's can't come to.
 * @param {import('node:tls').TLSSocket} socket
 */
function isBeyondEngine(socket) {
  const { name } = socket.getCipher() ?? {}
  return (
    !VERSIONS.includes(String(socket.getProtocol())) ||
    (name !== undefined && !CIPHERS.has(name)) ||
    isUnknownGroup(/** @type {any} */ (socket.getEphemeralKeyInfo?.())) ||
    // Node 20's getPeerX509Certificate() would take it away from others.
    isUnknownKey(socket.getPeerCertificate() ?? {})
  )
}

/**
 * A group that mixes a classical one with a new one is no proof: who has those has the classical ones as well.
 * @param {{ type?: string, name?: string } | null | undefined} group
 */
function isUnknownGroup(group) {
  if (group?.type === 'DH') return true
  return group?.name !== undefined && !GROUPS.includes(group.name) && !group.name.includes('MLKEM')
}

/** @param {any} certificate */
function isUnknownKey({ asn1Curve, bits, exponent }) {
  if (exponent !== undefined) return bits < SHORTEST_RSA || bits > LONGEST_RSA
  return asn1Curve !== undefined && !CURVES.includes(asn1Curve)
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

module.exports = { isBeyondEngine, LEGACY_SERVER, mayBeLegacy, recallLegacy, rememberLegacy, RENEGOTIATION }
