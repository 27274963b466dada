'use strict'

// The errors that users see. Network errors carry the runtime's own fields (code, errno, syscall, address, port,
// hostname) in the runtime's order; option errors its ERR_* codes.

const { Buffer } = require('node:buffer')
const diagnostics = require('node:diagnostics_channel')

const { tlsError } = require('./tls/errors.js')

const requestErrors = diagnostics.channel('http.client.request.error')
/** Node 18 has no such channel. */
const publishesErrors = Number.parseInt(process.versions.node, 10) >= 20

const FIELDS = 8
const CAUSE_FIELDS = 7

/**
 * @param {string} message 'socket hang up' or 'aborted'
 */
function connectionReset(message) {
  return Object.assign(new Error(message), { code: 'ECONNRESET' })
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code })
}

/** @param {string} method */
function streamDestroyed(method) {
  return coded('ERR_STREAM_DESTROYED', `Cannot call ${method} after a stream was destroyed`)
}

/**
 * @param {new (message: string) => Error} Kind
 * @param {string} code
 * @param {string} message
 */
function optionError(Kind, code, message) {
  const error = new Kind(message)
  // As the runtime's: the stack's first line shows the code, the name does not.
  error.name = `${error.name} [${code}]`
  void error.stack
  Reflect.deleteProperty(error, 'name')
  return Object.assign(error, { code })
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function notANumber(name, value) {
  const received = value === null || value === undefined ? String(value) : `type ${typeof value} (${shown(value)})`
  const message = `The "${name}" argument must be of type number. Received ${received}`
  return optionError(TypeError, 'ERR_INVALID_ARG_TYPE', message)
}

/**
 * @param {string} name
 * @param {string} range
 * @param {number} value
 */
function outOfRange(name, range, value) {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${value}`
  return optionError(RangeError, 'ERR_OUT_OF_RANGE', message)
}

/**
 * @param {{ code: string, syscall: string, address: string, port: string, hostname: string, message: string,
 *   errno: number }} fields
 */
function networkError({ code, syscall, address, port, hostname, message, errno }) {
  const error = /** @type {Error & Record<string, unknown>} */ (new Error(message))
  if (errno !== 0) error.errno = errno
  error.code = code
  if (syscall !== '') error.syscall = syscall
  if (address !== '') error.address = address
  if (port !== '') error.port = Number(port)
  if (hostname !== '') error.hostname = hostname
  return error
}

/**
 * @param {string} code
 * @param {string} message
 * @param {string} reason llhttp's
 * @param {number} bytesParsed
 */
function parseError(code, message, reason, bytesParsed) {
  const error = /** @type {Error & Record<string, unknown>} */ (new Error(reason ? `Parse Error: ${reason}` : message))
  error.bytesParsed = bytesParsed
  error.code = code
  error.reason = reason
  // The engine keeps no packet: the property is there, empty.
  error.rawPacket = Buffer.alloc(0)
  return error
}

/**
 * The error that an ERROR record tells of.
 * @param {string} text the record's fields
 * @param {number} errno
 * @returns {Error & { code?: string, syscall?: string }}
 */
function fromRecord(text, errno) {
  const [code, syscall, address, port, hostname, message, reason, bytesParsed, ...rest] = text.split('\0')
  if (code.startsWith('HPE_')) return parseError(code, message, reason, Number(bytesParsed) || 0)
  const causes = []
  for (let at = 0; at + CAUSE_FIELDS <= rest.length; at += CAUSE_FIELDS) {
    const [code, syscall, address, port, hostname, message, errno] = rest.slice(at, at + CAUSE_FIELDS)
    causes.push(networkError({ code, syscall, address, port, hostname, message, errno: Number(errno) || 0 }))
  }
  if (causes.length > 0) return Object.assign(new AggregateError(causes), { code })
  return tlsError(networkError({ code, syscall, address, port, hostname, message, errno }), reason)
}

/**
 * Tells the diagnostics channel, then the request's listeners.
 * @param {import('node:http').ClientRequest} request
 * @param {Error} error
 */
function emitRequestError(request, error) {
  if (publishesErrors && requestErrors.hasSubscribers) requestErrors.publish({ request, error })
  request.emit('error', error)
}

module.exports = {
  coded,
  connectionReset,
  emitRequestError,
  FIELDS,
  fromRecord,
  notANumber,
  outOfRange,
  streamDestroyed,
}
