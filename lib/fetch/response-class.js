'use strict'

// The runtime's own Response, whatever a program puts in its place. Node evaluates its fetch when somebody first looks at a
// class of it, which takes longer than loading all of this package: there the class is looked for with the first fetch.

const { isGenuine } = require('../runtime/genuine.js')
const { isNode, runtimeFetch } = require('./platform.js')

/** @type {typeof Response | undefined} */
let ResponseClass
/** @type {typeof Headers | undefined} */
let HeadersClass

if (!isNode) take(Response)

/** @param {typeof Response} found */
function take(found) {
  ResponseClass = found
  HeadersClass = /** @type {typeof Headers} */ (new found().headers.constructor)
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

module.exports = { findResponse, knowsResponse, runtimeHeaders, runtimeResponse }
