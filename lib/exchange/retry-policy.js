'use strict'

// Which requests may be sent a second time, when a connection that was idle died under them without a byte of response.

/** Of the 64 KiB of a request, its head included, that the engine keeps for a second sending. */
const MOST_REPEATABLE_BODY = 48 * 1024
/** A key by which the server tells a repetition, in a head that is serialized already. */
const IDEMPOTENCY_KEY = /\r\n(?:x-)?idempotency-key[ \t]*:/i
/** May be sent again when a reused connection died without a byte of response: nothing can happen twice. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** @param {any} req */
function isIdempotent(req) {
  return SAFE_METHODS.has(req.method) || hasIdempotencyKey(req)
}

/**
 * Whether a request may be sent a second time, as far as that is known before it has its connection: a body of unknown
 * length may be too long to be kept.
 * @param {any} req
 */
function isRepeatable(req) {
  if (!isIdempotent(req)) return false
  const length = req.getHeader('content-length')
  if (length !== undefined) return Number(length) <= MOST_REPEATABLE_BODY
  return SAFE_METHODS.has(req.method) && req.getHeader('transfer-encoding') === undefined
}

/**
 * Whether the server can tell a repetition of this request, which makes it idempotent (as Go's net/http has it).
 * @param {any} req
 */
function hasIdempotencyKey(req) {
  if (req.getHeader('idempotency-key') !== undefined || req.getHeader('x-idempotency-key') !== undefined) return true
  // Headers given as an array are serialized without being kept.
  return req.getHeader('host') === undefined && IDEMPOTENCY_KEY.test(req._header ?? '')
}

module.exports = { isIdempotent, isRepeatable, MOST_REPEATABLE_BODY, SAFE_METHODS }
