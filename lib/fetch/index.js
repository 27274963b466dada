'use strict'

// fetch(): the standard's function, carried by the engine, with the runtime's own Response, Headers, Request and
// AbortSignal. lib/fetch/ has its parts.

const { anyRequest } = require('./any-request.js')
const { HttpError, withDefaults } = require('./defaults.js')
const { isDispatched } = require('./dispatcher.js')
const { FetchController } = require('./controller.js')
const { fallbackFetch, isForFallback, onlyRuntimeTakes } = require('./fallback.js')
const { readInit } = require('./init.js')
const { isBun } = require('./platform.js')
const { checkClasses, findResponse, knowsResponse } = require('./response-class.js')
const { simpleRequest } = require('./simple-request.js')

/**
 * @param {any} input
 * @param {any} [init]
 * @returns {Promise<Response>}
 */
function fetch(input, init) {
  return start(input, init, null)
}

/**
 * @param {any} input
 * @param {any} init
 * @param {ReadonlySet<string> | null} confined names of header fields that no redirect may take to another origin
 * @param {import('./request.js').Place | null} [place] where it stands in the runtime's own place
 * @returns {Promise<Response>}
 */
function start(input, init, confined, place = null) {
  try {
    checkClasses()
    const given = readInit(init)
    // There, ours are no options.
    if (place !== null && given !== null) {
      given.agent = given.timeout = given.maxResponseSize = undefined
      if (isBun && given.proxy !== undefined) return place.theirs(input, init)
      given.proxy = given.proxyHeaders = given.proxyTls = given.onProxyError = undefined
    }
    if (typeof input === 'object' && !(input instanceof URL) && typeof input?.url !== 'string') input = `${input}`
    if (isSpecial(input, given) || isDispatched(input, given)) {
      return place === null ? fallbackFetch(input, init, given, confined) : place.theirs(input, init)
    }
    const request = simpleRequest(input, given)
    if (request === null) {
      if (place !== null && onlyRuntimeTakes(input)) return place.theirs(input, init)
      return anyRequest(input, given).then((made) => begin(made, confined, place))
    }
    return begin(request, confined, place)
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 */
function isSpecial(input, init) {
  // The usual case is told by its first letters.
  if (init === null && typeof input === 'string' && input.startsWith('http')) return false
  return isForFallback(input, init)
}

/**
 * @param {import('./request.js').FetchRequest} request
 * @param {ReadonlySet<string> | null} confined
 * @param {import('./request.js').Place | null} place
 * @returns {Promise<Response>}
 */
function begin(request, confined, place) {
  request.confined = confined
  request.place = place
  if (!knowsResponse()) return findResponse().then(() => begin(request, confined, place))
  return new Promise((resolve, reject) => new FetchController(request, resolve, reject).start())
}

fetch.withDefaults = (/** @type {any} */ defaults) => {
  checkClasses()
  return withDefaults(start, defaults)
}
fetch.HttpError = HttpError

module.exports = { fetch, start }
