'use strict'

// The response of a lean request: an http.IncomingMessage without stream state, as long as its user only looks at its
// head and listens to 'data' and 'end'. Whatever else is asked of it makes it the runtime's own (promote.js).

const { EventEmitter } = require('node:events')
const http = require('node:http')

const { forward } = require('./forward.js')
const { ENDED } = require('./state.js')
const { kLean } = require('./symbols.js')

/** @typedef {import('./exchange.js').LeanExchange} LeanExchange */

const emitter = EventEmitter.prototype
const Emitter = /** @type {any} */ (EventEmitter)
const { IncomingMessage } = http

/**
 * @this {any}
 * @param {LeanExchange} exchange
 */
function LeanResponse(exchange) {
  Emitter.call(this)
  this[kLean] = exchange
}
LeanResponse.prototype = Object.create(IncomingMessage.prototype)

/** What needs no stream state. */
const lean = {
  /**
   * @this {any}
   * @param {string | symbol} event
   * @param {(...args: any[]) => void} listener
   */
  on(event, listener) {
    /** @type {LeanExchange} */
    const exchange = this[kLean]
    if (event === 'readable') {
      exchange.whole()
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
    if (event === 'data' || event === 'readable') {
      this[kLean].whole()
      return this.removeListener(event, listener)
    }
    return emitter.removeListener.call(this, event, listener)
  },

  /** @this {any} */
  resume() {
    this[kLean].flow()
    return this
  },
}

/** @type {PropertyDescriptorMap} */
const accessors = {
  statusCode: shown((exchange) => exchange.status),
  statusMessage: shown((exchange) => exchange.head.reason),
  httpVersion: shown((exchange) => exchange.version),
  httpVersionMajor: shown((exchange) => Number(exchange.version[0])),
  httpVersionMinor: shown((exchange) => Number(exchange.version[2])),
  headers: shown((exchange) => exchange.headers),
  rawHeaders: shown((exchange) => exchange.rawHeaders),
  complete: shown((exchange) => exchange.isComplete),
  aborted: shown(() => false),
  upgrade: shown(() => false),
  url: shown(() => ''),
  method: shown(() => null),
  req: shown((exchange) => exchange.req),
  socket: shown((exchange) => (exchange.phase < ENDED ? exchange.socket : null)),
}

/** @param {(exchange: LeanExchange) => unknown} look */
function shown(look) {
  return {
    /** @this {any} */
    get() {
      return look(this[kLean])
    },
  }
}

const sample = () => Reflect.ownKeys(new IncomingMessage(/** @type {any} */ (null)))
forward(LeanResponse.prototype, IncomingMessage.prototype, sample, accessors, {
  ...lean,
  addListener: lean.on,
  off: lean.removeListener,
})

module.exports = { LeanResponse }
