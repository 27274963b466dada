'use strict'

// The errors that users see, with the runtime's own codes and messages. Those that the engine tells of are in
// exchange/errors.js.

const diagnostics = require('node:diagnostics_channel')

const { nextTick } = require('../runtime/captured.js')

/** In whose asynchronous context something runs. @typedef {{ runInAsyncScope: (action: (...values: any[]) => any, receiver: unknown, ...values: any[]) => any }} Scope */

const requestErrors = diagnostics.channel('http.client.request.error')
/** Node 18 has no such channel. */
const publishesErrors = Number.parseInt(process.versions.node, 10) >= 20

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
  // As the runtime's: the stack's first line shows the code, the name does not. Defined, since prototypes may be frozen.
  Object.defineProperty(error, 'name', { value: `${error.name} [${code}]`, configurable: true })
  try {
    void error.stack
  } catch {
    // Error.prepareStackTrace is the program's, and may throw.
  }
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
  return notA('number', name, value)
}

/**
 * @param {string} type
 * @param {string} name
 * @param {unknown} value
 */
function notA(type, name, value) {
  const received = value === null || value === undefined ? String(value) : `type ${typeof value} (${shown(value)})`
  const message = `The "${name}" argument must be of type ${type}. Received ${received}`
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
 * @param {string} name
 * @param {unknown} value
 * @param {string} reason
 */
function invalidValue(name, value, reason) {
  const message = `The argument '${name}' ${reason}. Received ${shown(value)}`
  return optionError(TypeError, 'ERR_INVALID_ARG_VALUE', message)
}

/**
 * A member that is not known would be ignored, and whoever has set it not know.
 * @param {string} option
 * @param {object} given
 * @param {readonly string[]} known
 * @throws for any other
 */
function refuseUnknown(option, given, known) {
  const unknown = Object.keys(given).find((name) => !known.includes(name))
  if (unknown !== undefined) throw invalidValue(option, unknown, 'has a member that it does not know')
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

/**
 * Throws what a listener has thrown, to nobody's harm but the process's, in the context of the request that it listened to.
 * @param {unknown} error
 * @param {Scope} [resource] the request's; none: there is no request
 */
function throwSoon(error, resource) {
  if (resource === undefined) nextTick(rethrow, error)
  else resource.runInAsyncScope(nextTick, null, rethrow, error)
}

/** @param {unknown} error */
function rethrow(error) {
  throw error
}

/**
 * Whether something was promised that is wanted at once. What becomes of it is nobody's concern any more.
 * @param {any} value
 */
function isPromise(value) {
  if (typeof value?.then !== 'function') return false
  Promise.resolve(value).catch(() => {})
  return true
}

module.exports = {
  coded,
  connectionReset,
  emitRequestError,
  invalidValue,
  isPromise,
  notA,
  notANumber,
  optionError,
  outOfRange,
  refuseUnknown,
  streamDestroyed,
  throwSoon,
}
