'use strict'

// The response of a fast request: an http.IncomingMessage without stream state, as long as its user only looks at its
// head and listens to 'data' and 'end'. Whatever else is asked of it makes it the runtime's own (promote.js).

const { EventEmitter } = require('node:events')

const { IncomingMessage } = require('../runtime/genuine.js')
const { forward } = require('./forward.js')
const { ENDED } = require('./state.js')
const { kFast } = require('./symbols.js')

/** @typedef {import('./exchange.js').FastExchange} FastExchange */

const emitter = EventEmitter.prototype
const Emitter = /** @type {any} */ (EventEmitter)
const runtime = /** @type {any} */ (IncomingMessage.prototype)

/**
 * @this {any}
 * @param {FastExchange} exchange
 */
function FastResponse(exchange) {
  Emitter.call(this)
  this[kFast] = exchange
}
FastResponse.prototype = Object.create(IncomingMessage.prototype)

/** What needs no stream state. */
const fast = {
  /**
   * @this {any}
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  on(event, listener) {
    /** @type {FastExchange | undefined} */
    const exchange = this[kFast]
    // Kept from when it was fast, as whoever wraps methods does.
    if (exchange === undefined) return runtime.on.call(this, event, listener)
    if (event === 'readable') {
      exchange.promote()
      return this.on(event, listener)
    }
    emitter.on.call(this, event, listener)
    if (event === 'data') exchange.flow()
    return this
  },

  /**
   * @this {any}
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  removeListener(event, listener) {
    /** @type {FastExchange | undefined} */
    const exchange = this[kFast]
    if (exchange === undefined) return runtime.removeListener.call(this, event, listener)
    if (event === 'data' || event === 'readable') {
      exchange.promote()
      return this.removeListener(event, listener)
    }
    return emitter.removeListener.call(this, event, listener)
  },

  /** @this {any} */
  resume() {
    /** @type {FastExchange | undefined} */
    const exchange = this[kFast]
    if (exchange === undefined) return runtime.resume.call(this)
    exchange.flow()
    return this
  },
}

/** @type {Record<string, (exchange: FastExchange) => unknown>} */
const shown = {
  statusCode: (exchange) => exchange.status,
  statusMessage: (exchange) => exchange.head.reason,
  httpVersion: (exchange) => exchange.version,
  httpVersionMajor: (exchange) => Number(exchange.version[0]),
  httpVersionMinor: (exchange) => Number(exchange.version[2]),
  headers: (exchange) => exchange.headers,
  rawHeaders: (exchange) => exchange.rawHeaders,
  complete: (exchange) => exchange.isComplete,
  aborted: () => false,
  upgrade: () => false,
  url: () => '',
  method: () => null,
  req: (exchange) => exchange.req,
  socket: (exchange) => (exchange.phase < ENDED ? exchange.socket : null),
}

const sample = () => Reflect.ownKeys(new IncomingMessage(/** @type {any} */ (null)))
forward(FastResponse.prototype, IncomingMessage.prototype, sample, shown, {
  ...fast,
  addListener: fast.on,
  off: fast.removeListener,
})

module.exports = { FastResponse }
