'use strict'

// The runtime's own Response, whatever a program puts in its place. Node evaluates its fetch when somebody first looks at a
// class of it, which takes longer than loading all of this package: there the class is looked for with the first fetch.

const { Response: FirstResponse } = require('../runtime/captured.js')
const { coded } = require('../common/errors.js')
const { isGenuine } = require('../runtime/genuine.js')
const { runtimeFetch } = require('./platform.js')

/** @type {typeof Response | undefined} */
let ResponseClass
/** @type {typeof Headers | undefined} */
let HeadersClass

if (FirstResponse !== undefined) take(FirstResponse)

/** @param {typeof Response} found */
function take(found) {
  ResponseClass = found
  HeadersClass = /** @type {typeof Headers} */ (new found().headers.constructor)
}

/** What Node has none of when it is started with --no-experimental-fetch, nor a context that was given no classes. */
const NEEDED = ['Response', 'Headers', 'Request', 'FormData']

/** Looked up by their names: on Node, looking at one evaluates all of its fetch. @throws where there is something missing */
function checkClasses() {
  if (ResponseClass !== undefined) return
  const missing = NEEDED.filter((name) => !(name in globalThis))
  if (missing.length > 0) throw noClasses(missing)
}

/** @param {string[]} missing */
function noClasses(missing) {
  const why = `keepwire's fetch needs ${missing.join(', ')} of the runtime's, and this process has none (--no-experimental-fetch?)`
  return coded('ERR_INVALID_STATE', why)
}

/** The runtime's own, or what somebody's class extends that is in its place. */
function look() {
  /** @type {any} */
  let candidate = globalThis.Response
  while (typeof candidate === 'function') {
    if (isGenuine('Response', candidate)) return take(candidate)
    candidate = Object.getPrototypeOf(candidate)
  }
}

/** Whether runtimeResponse() may be called; if not, findResponse() comes first. */
function knowsResponse() {
  if (ResponseClass === undefined) look()
  return ResponseClass !== undefined
}

/** @returns {Promise<typeof Response>} */
async function findResponse() {
  // Where a program has put another class in its place, the runtime's own fetch still makes the runtime's. No server is asked.
  if (!knowsResponse()) {
    const isOwn = isGenuine('fetch', runtimeFetch)
    const response = isOwn ? await runtimeFetch('data:,').catch(() => null) : null
    take(/** @type {any} */ (response?.constructor ?? globalThis.Response))
  }
  return runtimeResponse()
}

function runtimeResponse() {
  return /** @type {typeof Response} */ (ResponseClass)
}

function runtimeHeaders() {
  return /** @type {typeof Headers} */ (HeadersClass)
}

module.exports = { checkClasses, findResponse, knowsResponse, runtimeHeaders, runtimeResponse }
