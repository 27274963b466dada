'use strict'

// How a fetch fails: a TypeError whose cause says why, with the codes of the runtime's own fetch.

const { AFTER_HEAD } = require('../bridge/layout.js')
const { fromRecord } = require('../exchange/errors.js')
const { TOO_LARGE } = require('../exchange/response-size.js')
const { isBun } = require('./platform.js')

const HEAD_TOO_LARGE = 'HPE_HEADER_OVERFLOW'
/** What the runtime's own request says of a connection that has ended. */
const LOST = new Set(['aborted', 'socket hang up'])

/** What Bun has as the error's own code where Node's cause has another. @type {Record<string, string>} */
const BUN_CODES = {
  UND_ERR_SOCKET: 'ECONNRESET',
  'unexpected redirect': 'UnexpectedRedirect',
  'redirect count exceeded': 'TooManyRedirects',
}

/**
 * @param {unknown} cause
 * @param {string} [message]
 */
function fetchFailed(cause, message = 'fetch failed') {
  const error = new TypeError(message, { cause })
  if (isBun && cause instanceof Error) {
    const { code = '' } = /** @type {{ code?: string }} */ (cause)
    const known = BUN_CODES[code || cause.message] ?? (code.startsWith('HPE_') ? 'Malformed_HTTP_Response' : code)
    if (known !== '') Object.assign(error, { code: known })
  }
  return error
}

/**
 * The error that an ERROR record tells of.
 * @param {number} flags
 * @param {string} text
 * @param {number} errno
 */
function bodyFailed(flags, text, errno) {
  const cause = causeOf(text, errno)
  return fetchFailed(cause, (flags & AFTER_HEAD) !== 0 ? 'terminated' : 'fetch failed')
}

/**
 * @param {string} text
 * @param {number} errno
 */
function causeOf(text, errno) {
  const [code, syscall, , , , message, , , , , reason, , http2Code] = text.split('\0')
  if (code === '') return /** @type {Error & { code?: string }} */ (new Error(message))
  if (code === HEAD_TOO_LARGE) return headTooLarge()
  if (code.startsWith('HPE_')) {
    const error = new Error(`Response does not match the HTTP/1.1 protocol (${reason})`)
    return named(Object.assign(error, { code }), 'HTTPParserError')
  }
  // A connection that ended without an error of the system. That of a stream of HTTP/2 alone has a number.
  if (code === 'UND_ERR_SOCKET' || (code === 'ECONNRESET' && syscall === '' && !http2Code)) return closedBySomebody()
  return fromRecord(text, errno)
}

/**
 * An error of the runtime's own request.
 * @param {Error & { code?: string, syscall?: string }} error
 */
function causeFrom(error) {
  const { code, message } = error
  if (code === HEAD_TOO_LARGE) return headTooLarge()
  return code === 'ECONNRESET' && LOST.has(message) ? closedBySomebody() : error
}

/**
 * @param {number} most bytes
 * @param {number} chosen by the user; 0: nothing
 */
function tooLarge(most, chosen) {
  let why = 'what is read at once unless the option "maxResponseSize" of fetch() says otherwise'
  if (chosen === most) why = 'the option "maxResponseSize" of fetch()'
  else if (chosen > most) why = 'the most that can be read at once: read it as a stream'
  const cause = new Error(`The response's body has more than ${most} bytes, ${why}`)
  return fetchFailed(Object.assign(cause, { code: TOO_LARGE }), 'terminated')
}

function headTooLarge() {
  return Object.assign(new Error('Headers Overflow Error'), { code: 'UND_ERR_HEADERS_OVERFLOW' })
}

/** What a connection's end is to the runtime's own fetch. */
function closedBySomebody() {
  return named(Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' }), 'SocketError')
}

/**
 * Defined, not assigned: the prototype's name may be frozen.
 * @template {Error} E
 * @param {E} error
 * @param {string} value
 */
function named(error, value) {
  return Object.defineProperty(error, 'name', { value, writable: true, enumerable: true, configurable: true })
}

module.exports = { bodyFailed, causeFrom, closedBySomebody, fetchFailed, tooLarge }
