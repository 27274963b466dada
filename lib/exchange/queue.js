'use strict'

// Requests that wait for a slot of their origin, in `agent.requests`. A waiting request has no socket, through which the
// runtime would deliver aborts and timeouts: until its turn, two of its methods are shadowed to see them.

const { clearTimeout, nextTick, now, setTimeout } = require('../runtime/captured.js')
const native = require('../bridge/native.js')
const { Deadline } = require('../common/deadline.js')
const { coded, connectionReset, emitRequestError } = require('../common/errors.js')
const { kDestroyError } = require('../runtime/probes.js')
const { watchQueue } = require('../common/warnings.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */

const MOST_TIMER_MS = 0x7fffffff

class Wait {
  /** Called when the engine has something for the exchange. @type {(kind: number, connection: number) => void} */
  onTurn
  #exchange
  #since
  /** @type {NodeJS.Timeout | null} */
  #timer = null
  /** @type {Deadline | null} */
  #lastCall = null

  /**
   * @param {Exchange} exchange
   * @param {(kind: number, connection: number) => void} onTurn
   */
  constructor(exchange, onTurn) {
    this.#exchange = exchange
    this.onTurn = onTurn
    const { req, agent, origin } = exchange
    this.#since = now()
    origin.enqueue(exchange)
    watchQueue(exchange)
    shadow(req, 'destroy', () => this.#onDestroy())
    shadow(req, 'setTimeout', (ms) => {
      exchange.noteTimeout(ms)
      this.#watch(ms)
    })
    this.#watch(req.timeout === undefined ? agent.options.timeout : req.timeout)
    const { queueTimeoutMs } = origin.origins
    if (queueTimeoutMs > 0) {
      this.#lastCall = new Deadline(Math.min(queueTimeoutMs, MOST_TIMER_MS), () => this.#onLastCall()).unref()
    }
  }

  /** @param {unknown} ms */
  #watch(ms) {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (typeof ms !== 'number' || !(ms > 0)) return
    this.#timer = setTimeout(() => this.#onTimeout(), Math.min(ms, MOST_TIMER_MS))
    this.#timer.unref()
  }

  #onTimeout() {
    this.#exchange.hasTimedOut = true
    this.#exchange.resource.runInAsyncScope(emitTimeout, null, this.#exchange.req)
  }

  #onLastCall() {
    const { origin, port, resource } = this.#exchange
    const { label, origins } = origin
    this.#giveUp()
    native.note(origins.id, origin.key, false, 'ERR_KEEPWIRE_QUEUE_TIMEOUT')
    const message = `No connection to ${label} became free within queueTimeout, ${origins.queueTimeoutMs} ms`
    resource.runInAsyncScope(failUnserved, null, this.#exchange, coded('ERR_KEEPWIRE_QUEUE_TIMEOUT', message))
    port.drainSoon()
    origins.forget(origin)
  }

  #onDestroy() {
    this.#giveUp()
    nextTick(failUnserved, this.#exchange, undefined)
  }

  #giveUp() {
    const exchange = this.#exchange
    this.end()
    // False: its turn has come already, and the record of that is under way; see Exchange.onAssigned().
    if (native.cancel(exchange.port.id, exchange.id)) exchange.settle()
  }

  /** The request waits no more. */
  end() {
    const exchange = this.#exchange
    const { req, origin } = exchange
    exchange.wait = null
    exchange.queuedMs += now() - this.#since
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#lastCall?.end()
    Reflect.deleteProperty(req, 'destroy')
    Reflect.deleteProperty(req, 'setTimeout')
    origin.dequeue(exchange)
    if (origin.origins.onQuiet !== null) origin.origins.noteQuiet()
  }
}

/**
 * Has `react` called after the request's own method, invisibly to whoever lists the request's properties.
 * @param {any} req
 * @param {string} method
 * @param {(argument: unknown) => void} react
 */
function shadow(req, method, react) {
  const own = req[method]
  /**
   * @this {any}
   * @param {...any} values
   */
  function shadowed(...values) {
    const result = own.apply(this, values)
    react(values[0])
    return result
  }
  Object.defineProperty(req, method, { value: shadowed, configurable: true, writable: true, enumerable: false })
}

/**
 * @param {Exchange} exchange
 * @param {Error | undefined} error
 */
function failUnserved(exchange, error) {
  exchange.failUnserved(error)
}

/** @param {any} req */
function emitTimeout(req) {
  req.emit('timeout')
}

/**
 * @template T
 * @param {T[]} list
 * @param {T} item
 */
function remove(list, item) {
  const at = list.indexOf(item)
  if (at === 0) list.shift()
  else if (at > 0) list.splice(at, 1)
}

/**
 * Ends a request that got no connection, as the runtime ends one that was destroyed before its socket came.
 * @param {any} req
 * @param {Error | undefined} error
 */
function settleUnserved(req, error) {
  req.destroyed = true
  const reason = error ?? req[kDestroyError] ?? (req.aborted ? undefined : connectionReset('socket hang up'))
  try {
    if (reason) emitRequestError(req, reason)
  } finally {
    req._closed = true
    req.emit('close')
  }
}

module.exports = { failUnserved, remove, settleUnserved, shadow, Wait }
