'use strict'

// The engine's failures as the errors that users see. The engine words them as Node does; what Bun and Deno say instead
// is here: other messages, numbers and orders of the same fields.

const { Buffer } = require('node:buffer')
const { domainToASCII } = require('node:url')

const { optionError } = require('../common/errors.js')
const { hasOlderParser, runtimeName } = require('../runtime/probes.js')
const { tlsError } = require('../tls/errors.js')

/** @typedef {Error & Record<string, unknown>} FieldError */

/**
 * @typedef {object} Failure what the engine knows; texts are empty, numbers 0, where it knows nothing
 * @property {string} code
 * @property {number} errno
 * @property {string} syscall
 * @property {string} address what the system call was about
 * @property {number} port
 * @property {string} hostname the name that could not be resolved
 * @property {string} message Node's
 * @property {string} localAddress the local end, if the user had chosen its port
 * @property {number} localPort
 * @property {string} targetAddress where the connection was to go, if `bind` failed
 * @property {number} targetPort
 */

const BASE_FIELDS = 10
const CAUSE_FIELDS = BASE_FIELDS + 1
/** Those of a failure itself: also `reason`, `bytesParsed`, `http2Code`. */
const OWN_FIELDS = BASE_FIELDS + 3

/** c-ares' number for ENOTFOUND, which Bun shows. */
const ARES_ENOTFOUND = 4
const UV_EAI_NODATA = -3007
const UV_EINVAL = -22

/** Of the names that Deno asks the resolver for, after IDNA. */
const RESOLVABLE = /^(?:[\w-]+\.)*[\w-]+\.?$/
const BRACKETED = /^\[.*\]$/
const LONGEST_NAME = 255

/** What an older llhttp says where the engine has these reasons: code and reason. */
const OLDER_WORDS = {
  'Expected HTTP/, RTSP/ or ICE/': ['HPE_INVALID_CONSTANT', 'Expected HTTP/'],
  'Invalid status code': ['HPE_INVALID_STATUS', 'Invalid response status'],
  "Content-Length can't be present with Transfer-Encoding": [
    'HPE_UNEXPECTED_CONTENT_LENGTH',
    "Content-Length can't be present with Transfer-Encoding",
  ],
  "Transfer-Encoding can't be present with Content-Length": [
    'HPE_UNEXPECTED_CONTENT_LENGTH',
    "Content-Length can't be present with Transfer-Encoding",
  ],
  'Expected LF after chunk data': ['HPE_INVALID_CHUNK_SIZE', 'Invalid character in chunk size'],
  'Missing expected CR after chunk size': ['HPE_INVALID_CHUNK_SIZE', 'Invalid character in chunk size'],
}

/**
 * @param {string} message
 * @param {Record<string, unknown>} fields
 * @returns {FieldError}
 */
function withFields(message, fields) {
  return Object.assign(/** @type {FieldError} */ (new Error(message)), fields)
}

/**
 * What of these is known, in this order.
 * @param {Record<string, unknown>} fields
 */
function known(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '' && value !== 0))
}

/** @param {Failure} failure */
function nodeError({ message, errno, code, syscall, address, port, hostname, localAddress, localPort }) {
  return withFields(message, known({ errno, code, syscall, address, port, hostname, localAddress, localPort }))
}

/**
 * To Bun it is always `connect` that fails; of the local end it tells only if the user has chosen its port.
 * @param {Failure} failure
 */
function bunError(failure) {
  const { code, errno, syscall, hostname, localAddress, localPort, targetAddress, targetPort } = failure
  if (syscall === 'getaddrinfo') return bunLookupError(failure)
  if (syscall !== 'connect' && syscall !== 'bind') return withFields(failure.message, known({ code, errno, syscall }))
  const address = targetAddress || failure.address
  const port = targetPort || failure.port || undefined
  const place = port === undefined ? address : `${address}:${port}`
  const local = localAddress === '' ? '' : ` - Local (${localAddress}:${localPort})`
  const error = withFields(`connect ${code} ${place}${local}`, { errno, syscall: 'connect', port, address, code })
  return Object.assign(error, known({ hostname, localAddress, localPort }))
}

/** @param {Failure} failure */
function bunLookupError({ code, errno, syscall, hostname }) {
  // Bun has no limit for a name of its own, the resolver does not know one that long.
  const isUnknown = code === 'ENOTFOUND' || code === 'EINVAL'
  const told = isUnknown ? 'ENOTFOUND' : code
  const fields = { code: told, syscall, errno: isUnknown ? ARES_ENOTFOUND : errno, name: 'DNSException', hostname }
  return withFields(`${syscall} ${told} ${hostname}`, fields)
}

/**
 * @param {Failure} failure
 */
function denoError(failure) {
  const { code, syscall, address, port, hostname } = failure
  if (syscall === 'getaddrinfo' && (code === 'ENOTFOUND' || code === 'EINVAL')) {
    const errno = isResolvable(hostname) ? failure.errno : UV_EAI_NODATA
    return nodeError({ ...failure, code: 'ENOTFOUND', errno, message: `${syscall} ENOTFOUND ${hostname}` })
  }
  const place = port === 0 ? address : `${address}:${port}`
  if (syscall === 'bind' && code === 'EADDRNOTAVAIL') {
    return nodeError({ ...failure, code: 'EINVAL', errno: UV_EINVAL, message: `bind EINVAL ${place}` })
  }
  // As Bun, it tells only of a local port that the user has chosen.
  if (syscall === 'connect' && failure.localAddress === '') {
    return nodeError({ ...failure, message: `connect ${code} ${place}` })
  }
  return nodeError(failure)
}

/**
 * Whether Deno asks the resolver for that name; else it says itself that there is no address.
 * @param {string} hostname
 */
function isResolvable(hostname) {
  if (hostname.length > LONGEST_NAME) return false
  return BRACKETED.test(hostname) || RESOLVABLE.test(domainToASCII(hostname))
}

/**
 * @param {string} code
 * @param {string} reason llhttp's
 * @param {number} bytesParsed
 * @param {Buffer} rawPacket what had been read when it was refused
 */
function parseError(code, reason, bytesParsed, rawPacket) {
  if (hasOlderParser && Object.hasOwn(OLDER_WORDS, reason)) {
    ;[code, reason] = OLDER_WORDS[/** @type {keyof typeof OLDER_WORDS} */ (reason)]
  }
  const fields =
    runtimeName === 'deno' ? { code, reason, bytesParsed, rawPacket } : { bytesParsed, code, reason, rawPacket }
  return withFields(`Parse Error: ${reason}`, fields)
}

const systemError = { bun: bunError, deno: denoError, node: nodeError }[runtimeName]

/**
 * @param {string[]} fields
 * @param {number} errno
 * @param {string} [http2Code]
 */
function fromFields(fields, errno, http2Code = '') {
  const [code, syscall, address, port, hostname, message, localAddress, localPort, targetAddress, targetPort] = fields
  // Ours have no system call behind them, nor has a connection that just ended.
  if (syscall === '') {
    const error = withFields(message, known({ errno, code, address, port: Number(port), hostname }))
    return http2Code === '' ? error : Object.assign(error, { http2Code: Number(http2Code) })
  }
  return systemError({
    code,
    errno,
    syscall,
    address,
    port: Number(port),
    hostname,
    message,
    localAddress,
    localPort: Number(localPort),
    targetAddress,
    targetPort: Number(targetPort),
  })
}

/**
 * A proxy has refused a tunnel, or was none: the runtime's error, with the head of the refusal.
 * @param {string} message
 * @param {number} statusCode 0: it has answered nothing that has one
 * @param {string} head
 */
function tunnelError(message, statusCode, head) {
  const error = optionError(Error, 'ERR_PROXY_TUNNEL', message)
  if (statusCode === 0) return error
  /** @type {Record<string, string>} */
  const headers = Object.create(null)
  for (const line of head.split('\r\n').slice(1)) {
    const at = line.indexOf(':')
    if (at < 1) continue
    const name = line.slice(0, at).toLowerCase()
    const value = line.slice(at + 1).trim()
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  }
  return Object.assign(error, { statusCode, headers })
}

/**
 * The error that an ERROR record tells of.
 * @param {string} text the record's fields
 * @param {number} errno
 * @returns {Error & { code?: string, syscall?: string }}
 */
function fromRecord(text, errno) {
  const fields = text.split('\0')
  const [code, syscall, , port, hostname, message] = fields
  const [reason, bytesParsed, http2Code] = fields.slice(BASE_FIELDS)
  if (code.startsWith('HPE_')) {
    const packet = Buffer.from(fields.slice(OWN_FIELDS).join('\0'), 'latin1')
    return parseError(code, reason, Number(bytesParsed), packet)
  }
  // Of what fails without a system call, TLS alone has codes of its own, or names the host.
  if (reason !== '' || (syscall === '' && (hostname !== '' || !code.startsWith('E')))) {
    return tlsError(withFields(message, known({ errno, code, syscall, hostname, port: Number(port) })), reason)
  }
  if (code === 'ERR_PROXY_TUNNEL') {
    return tunnelError(message, Number(http2Code), fields.slice(OWN_FIELDS).join('\0'))
  }
  const causes = []
  for (let at = OWN_FIELDS; at + CAUSE_FIELDS <= fields.length; at += CAUSE_FIELDS) {
    causes.push(fromFields(fields.slice(at, at + BASE_FIELDS), Number(fields[at + BASE_FIELDS])))
  }
  if (causes.length > 0) return Object.assign(new AggregateError(causes), { code })
  return tlsError(fromFields(fields, errno, http2Code), reason)
}

module.exports = { fromRecord, parseError }
