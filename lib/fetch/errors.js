'use strict'

// How a fetch fails: a TypeError whose cause says why, with the codes of the runtime's own fetch.

const { AFTER_HEAD } = require('../bridge/layout.js')
const { fromRecord } = require('../engine-errors.js')
const { isBun } = require('./traits.js')

const TIMEOUT = 'ERR_KEEPWIRE_FETCH_TIMEOUT'

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
  if (cause.code === TIMEOUT) return new DOMException(cause.message, 'TimeoutError')
  return fetchFailed(cause, (flags & AFTER_HEAD) !== 0 ? 'terminated' : 'fetch failed')
}

/**
 * @param {string} text
 * @param {number} errno
 */
function causeOf(text, errno) {
  const [code, , , , , message] = text.split('\0')
  if (code === '') return /** @type {Error & { code?: string }} */ (new Error(message))
  if (code.startsWith('HPE_')) {
    const error = new Error(`Response does not match the HTTP/1.1 protocol (${message})`)
    return Object.assign(error, { name: 'HTTPParserError', code })
  }
  if (code === 'UND_ERR_SOCKET') return Object.assign(new Error(message), { name: 'SocketError', code })
  return fromRecord(text, errno)
}

module.exports = { bodyFailed, fetchFailed }
