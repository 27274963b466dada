'use strict'

// Requests that wait for a slot of their origin, in `agent.requests`. A waiting request has no socket, through which the
// runtime would deliver aborts and timeouts: it inherits two methods of ours, which see them until its turn.

const { clearTimeout, nextTick, now, setTimeout } = require('../runtime/captured.js')
const native = require('../bridge/native.js')
const { Deadline } = require('../common/deadline.js')
const { tellTurn, turns } = require('../common/diagnostics.js')
const { coded, connectionReset, emitRequestError } = require('../common/errors.js')
const { kDestroyError } = require('../runtime/probes.js')
const { kExchange } = require('../socket/socket.js')
const { watchQueue } = require('../common/warnings.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */

const MOST_TIMER_MS = 0x7fffffff

class Wait {
  /** Called when the engine has something for the exchange. @type {(kind: number, connection: number) => void} */
  onTurn
  #exchange
  /** In its origin's queue. */
  #place
  /** What it waits at, if not for a connection. */
  #gate
  #since
  /** @type {NodeJS.Timeout | null} */
  #timer = null
  /** @type {Deadline | null} */
  #lastCall = null

  /**
   * @param {Exchange} exchange
   * @param {(kind: number, connection: number) => void} onTurn
   * @param {{ cancel(exchange: Exchange): void } | null} [gate] the one that holds it back
   */
  constructor(exchange, onTurn, gate = null) {
    this.#exchange = exchange
    this.#gate = gate
    this.onTurn = onTurn
    const { origin } = exchange
    this.#since = now()
    this.#place = origin.enqueue(exchange)
    exchange.port.queued += 1
    watchQueue(exchange)
    const { queueTimeoutMs } = origin.origins
    if (queueTimeoutMs > 0) {
      this.#lastCall = new Deadline(Math.min(queueTimeoutMs, MOST_TIMER_MS), () => this.#onLastCall()).unref()
    }
  }

  /** Sees to it that the request can be aborted and given a timeout. */
  watch() {
    const { req, agent } = this.#exchange
    const prototype = Object.getPrototypeOf(req)
    // Once for a gate, once for a connection.
    if (!overs.has(prototype)) Object.setPrototypeOf(req, waitingPrototype(prototype))
    this.#expect(req.timeout === undefined ? agent.options.timeout : req.timeout)
  }

  /** @param {unknown} ms */
  #expect(ms) {
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
    const { label, origins } = this.#exchange.origin
    const what =
      this.#gate === null ? `No connection to ${label} became free` : `The policy for ${label} let it not begin`
    this.fail(coded('ERR_KEEPWIRE_QUEUE_TIMEOUT', `${what} within queueTimeout, ${origins.queueTimeoutMs} ms`))
  }

  /** @param {Error & { code: string }} error why it is served no more */
  fail(error) {
    const { origin, port, resource } = this.#exchange
    const { origins } = origin
    this.#giveUp()
    native.note(origins.id, origin.key, false, error.code)
    resource.runInAsyncScope(failUnserved, null, this.#exchange, error)
    port.drainSoon()
    origins.forget(origin)
  }

  /** Whether it waits at a gate, and not for a connection. */
  get isHeld() {
    return this.#gate !== null
  }

  /** @param {unknown} ms what the request's setTimeout() was told */
  onSetTimeout(ms) {
    this.#exchange.noteTimeout(ms)
    this.#expect(ms)
  }

  onDestroy() {
    this.#giveUp()
    nextTick(failUnserved, this.#exchange, undefined)
  }

  #giveUp() {
    const exchange = this.#exchange
    this.end(false)
    if (this.#gate !== null) return this.#gate.cancel(exchange)
    // False: its turn has come already, and the record of that is under way; see Exchange.onAssigned().
    if (native.cancel(exchange.port.id, exchange.id)) exchange.settle()
  }

  /**
   * The request waits no more.
   * @param {boolean} [isServed] whether its turn has come
   */
  end(isServed = true) {
    const exchange = this.#exchange
    const { port, origin } = exchange
    exchange.wait = null
    port.queued -= 1
    exchange.queuedMs += now() - this.#since
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#lastCall?.end()
    origin.dequeue(this.#place)
    if (origin.origins.onQuiet !== null) origin.origins.noteQuiet()
    if (turns.hasSubscribers) tellTurn(exchange, isServed)
  }
}

/**
 * What requests that have to wait inherit from, by what they inherit from else. They keep it: giving it back costs V8 13 (Node 24) two
 * microseconds. Methods of their own, once deleted, would leave them with properties that engines look up slowly.
 * @type {WeakMap<object, object>}
 */
const waiting = new WeakMap()

/** The values of that. @type {WeakSet<object>} */
const overs = new WeakSet()

/** @param {any} prototype */
function waitingPrototype(prototype) {
  let over = waiting.get(prototype)
  if (over === undefined) {
    over = Object.create(prototype, {
      destroy: hidden(
        /** @this {any} @param {...any} values */
        function destroy(...values) {
          const result = prototype.destroy.apply(this, values)
          waitOf(this)?.onDestroy()
          return result
        },
      ),
      setTimeout: hidden(
        /** @this {any} @param {...any} values */
        function setTimeout(...values) {
          const result = prototype.setTimeout.apply(this, values)
          waitOf(this)?.onSetTimeout(values[0])
          return result
        },
      ),
    })
    waiting.set(prototype, /** @type {object} */ (over))
    overs.add(/** @type {object} */ (over))
  }
  return over
}

/** @param {any} req what agents show of an exchange; a fetch shows itself @returns {Wait | null | undefined} */
function waitOf(req) {
  return (req[kExchange] ?? req).wait
}

/** @param {Function} value */
function hidden(value) {
  return { value, configurable: true, writable: true, enumerable: false }
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
  Object.defineProperty(req, method, hidden(shadowed))
}

/**
 * An exchange gets no connection, nor a place in the queue.
 * @param {Exchange} exchange
 * @param {Error & { code: string }} error
 */
function refuseUnserved(exchange, error) {
  exchange.settle()
  const { origin } = exchange
  native.note(origin.origins.id, origin.key, false, error.code)
  nextTick(failUnserved, exchange, error)
  origin.origins.forget(origin)
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

module.exports = { failUnserved, hidden, refuseUnserved, remove, settleUnserved, shadow, Wait }
