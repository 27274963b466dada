'use strict'

// fetch(): the standard's function, carried by the engine, with the runtime's own Response, Headers, Request and
// AbortSignal. lib/fetch/ has its parts.

const { HttpError, withDefaults } = require('./fetch/defaults.js')
const { FetchExchange } = require('./fetch/exchange.js')
const { anyOrder, isForeign, simpleOrder } = require('./fetch/request.js')
const { runtimeFetch } = require('./fetch/traits.js')

/** Options that the runtime's own fetch does not know. */
const OURS = ['agent', 'timeout', 'maxResponseSize']

/**
 * @param {any} input
 * @param {any} [init]
 * @returns {Promise<Response>}
 */
function fetch(input, init) {
  try {
    if (isSpecial(input, init)) return runtimeFetch(input, withoutOurs(init))
    const order = simpleOrder(input, init)
    return order === null ? anyOrder(input, init).then(begin) : begin(order)
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * @param {any} input
 * @param {any} init
 */
function isSpecial(input, init) {
  // The usual case is told by its first letters.
  if (init === undefined && typeof input === 'string' && input.startsWith('http')) return false
  return isForeign(input, init)
}

/** @param {any} init */
function withoutOurs(init) {
  if (typeof init !== 'object' || init === null || !OURS.some((name) => name in init)) return init
  const { agent, timeout, maxResponseSize, ...rest } = init
  return rest
}

/** @param {import('./fetch/request.js').Order} order */
function begin(order) {
  return new Promise((resolve, reject) => new FetchExchange(order, resolve, reject).start())
}

fetch.withDefaults = (/** @type {any} */ defaults) => withDefaults(fetch, defaults)
fetch.HttpError = HttpError

module.exports = { fetch }
