'use strict'

// TLS errors in the runtime's own words. The engine reports them as Node does with OpenSSL; Bun and Deno name some of them
// in another way.

const { isBun, isNode } = require('../runtime/probes.js')

/** BoringSSL's sentences where they differ from OpenSSL's. @type {Record<string, string>} */
const BORING = {
  'self-signed certificate': 'self signed certificate',
  'self-signed certificate in certificate chain': 'self signed certificate in certificate chain',
  'unsuitable certificate purpose': 'unsupported certificate purpose',
}

/** What Node ≥ 24 adds to a refusal that a system's own authority may explain. */
const HINT = '; if the root CA is installed locally, try running Node.js with --use-system-ca'
const HINTED = new Set(['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'])
const hints = isNode && Number.parseInt(process.versions.node, 10) >= 24

const [openssl, opensslMinor] = (process.versions.openssl ?? '').split('.').map(Number)
/** OpenSSL 3.2 gave the oldest alerts a new name. */
const renamesAlerts = isNode && (openssl > 3 || (openssl === 3 && opensslMinor >= 2))

/**
 * A handshake that failed or a record that made no sense.
 * @param {Error & Record<string, any>} error as Node's
 * @param {string} reason OpenSSL's
 */
function sessionError(error, reason) {
  if (renamesAlerts) {
    error.message = error.message.replace('sslv3 alert', 'ssl/tls alert')
    reason = reason.replace('sslv3 alert', 'ssl/tls alert')
  }
  if (isNode && error.code === 'EPROTO') return error
  const name = reason.toUpperCase().replaceAll(' ', '_')
  const shown = isBun
    ? name.replace('TLSV13_', 'TLSV1_').replace('TLSV1_UNRECOGNIZED', 'TLSV1_ALERT_UNRECOGNIZED')
    : name
  const message = isBun ? `error:SSL routines:OPENSSL_internal:${shown}` : error.message.replace(/^write EPROTO /, '')
  return Object.assign(new Error(message), {
    library: 'SSL routines',
    reason: isBun ? shown : reason,
    code: `ERR_SSL_${shown}`,
  })
}

/**
 * A peer that is not authorized.
 * @param {Error & Record<string, any>} error
 */
function distrusted(error) {
  let { message } = error
  if (isBun) message = BORING[message] ?? message
  else if (hints && HINTED.has(error.code)) message += HINT
  return message === error.message ? error : Object.assign(new Error(message), { code: error.code })
}

/**
 * The connection ended before hands were shaken.
 * @param {Error & Record<string, any>} error
 */
function disconnected(error) {
  const { code, hostname: host, message, port } = error
  if (isBun) return Object.assign(new Error('Socket is closed'), { code: 'ERR_SOCKET_CLOSED' })
  return Object.assign(new Error(message), { code, path: undefined, host, port, localAddress: undefined })
}

/** Codes of peers that are not authorized. */
const DISTRUST = /^(?:CERT_|CRL_|DEPTH_ZERO|INVALID_(?:CA|PURPOSE)|PATH_LENGTH|SELF_SIGNED|UNABLE_TO_|UNSPECIFIED)/

/**
 * @param {Error & Record<string, any>} error as the engine words it
 * @param {string} reason OpenSSL's; '': there is none
 */
function tlsError(error, reason) {
  if (reason !== '') return sessionError(error, reason)
  if (error.code === 'ECONNRESET' && error.hostname !== undefined) return disconnected(error)
  return DISTRUST.test(error.code) ? distrusted(error) : error
}

module.exports = { tlsError }
