'use strict'

// fetch(): the standard's function, carried by the engine, with the runtime's own Response, Headers, Request and
// AbortSignal. lib/fetch/ has its parts.

const { HttpError, withDefaults } = require('./defaults.js')
const { isDispatched } = require('./dispatcher.js')
const { FetchExchange } = require('./exchange.js')
const { foreignFetch } = require('./fallback.js')
const { readInit } = require('./init.js')
const { isBun } = require('./platform.js')
const { checkClasses, findResponse, knowsResponse } = require('./response-class.js')
const { anyOrder, isForeign, isOnlyTheirs, simpleOrder } = require('./request.js')

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
      return place === null ? foreignFetch(input, init, given, confined) : place.theirs(input, init)
    }
    const order = simpleOrder(input, given)
    if (order === null) {
      if (place !== null && isOnlyTheirs(input)) return place.theirs(input, init)
      return anyOrder(input, given).then((made) => begin(made, confined, place))
    }
    return begin(order, confined, place)
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
  return isForeign(input, init)
}

/**
 * @param {import('./request.js').Order} order
 * @param {ReadonlySet<string> | null} confined
 * @param {import('./request.js').Place | null} place
 * @returns {Promise<Response>}
 */
function begin(order, confined, place) {
  order.confined = confined
  order.place = place
  if (!knowsResponse()) return findResponse().then(() => begin(order, confined, place))
  return new Promise((resolve, reject) => new FetchExchange(order, resolve, reject).start())
}

fetch.withDefaults = (/** @type {any} */ defaults) => {
  checkClasses()
  return withDefaults(start, defaults)
}
fetch.HttpError = HttpError

module.exports = { fetch, start }
