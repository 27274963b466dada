'use strict'

// What stands before an agent's requests to one host: its limits (the option `policy`) and its circuit (`breaker`). Here, and
// not in the engine's pool: limits are of one agent in one thread, and hold whatever carries a request. Who may not begin yet
// waits as those do that wait for a connection (queue.js), and asks for one when its turn has come: agents without these
// options have no gate.

const { clearTimeout, nextTick, now, setTimeout } = require('../runtime/captured.js')
const native = require('../bridge/native.js')
const { queued, tellQueued } = require('../common/diagnostics.js')
const { coded } = require('../common/errors.js')
const { Line } = require('../common/line.js')
const { hidden, refuseUnserved, shadow, Wait } = require('./queue.js')
const { retryAfterOf } = require('./retry-after.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */

const MOST_TIMER_MS = 0x7fffffff
const TOO_MANY_REQUESTS = 429
const SERVER_ERROR = 500
/** Between two requests, at most: more is no number any more. */
const MOST_INTERVAL_MS = Number.MAX_SAFE_INTEGER
/** How long a request that finds out about a half open circuit holds others up, in ms, if `cooldown` is shorter. */
const LEAST_PROBE_MS = 1000
const UNAVAILABLE = 503

/** How long it is known of a host at least that requests to it have failed; tests have less time. */
const memory = { failuresMs: 60_000 }

/** An exchange's way through the gate: from its arrival until it is over. */
class Pass {
  /** How long the gate has held it back, in ms. */
  heldMs = 0
  /** Among those that wait at the gate. @type {import('../common/line.js').Place<Exchange> | undefined} */
  waits
  /** Among those that are under way. @type {import('../common/line.js').Place<Pass> | undefined} */
  place
  #gate
  #isDecided = false
  #isGivenUp = false
  #isOver = false
  #isSilent = false

  /**
   * @param {Gate} gate
   * @param {Exchange} exchange
   */
  constructor(gate, exchange) {
    this.#gate = gate
    this.exchange = exchange
  }

  /**
   * Its response's head has come.
   * @param {number} status
   * @param {string[]} lines names and values in turn
   */
  noteAnswer(status, lines) {
    if (status === TOO_MANY_REQUESTS || status === UNAVAILABLE) this.#gate.pause(retryAfterOf(lines))
    this.#decide(status < SERVER_ERROR)
  }

  /** It has failed, by no doing of its user. */
  noteFailure() {
    if (!this.#isGivenUp) this.#decide(false)
  }

  /** Its user has been told that nothing comes. */
  noteSilence() {
    this.#isSilent = true
  }

  /** Its user wants it no more. */
  noteGivenUp() {
    this.#isGivenUp = true
  }

  /** @param {boolean} isGood */
  #decide(isGood) {
    if (this.#isDecided) return
    this.#isDecided = true
    this.#gate.note(this, isGood)
  }

  /** It is over. */
  leave() {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isSilent) this.#decide(false)
    this.#gate.leave(this)
  }
}

class Gate {
  #host
  #limits
  #breaker
  /** Those that have begun and are not over. @type {Line<Pass>} */
  #passes = new Line()
  /** In order of arrival. @type {Line<Exchange>} */
  #waiting = new Line()
  /** Between two requests, in ms, and how much earlier they may be. */
  #interval
  #slack
  /** When the next one is due if none comes early. */
  #due = 0
  #pausedUntil = 0
  /** @type {NodeJS.Timeout | null} */
  #timer = null
  #isDraining = false
  /** Failures in a row, and when the last one was. */
  #failures = 0
  #failedAt = 0
  /** Until when the circuit is open, and half open from then on; 0: it is closed. */
  #openUntil = 0
  /** Who find out whether a half open circuit can be closed. @type {Set<Pass>} */
  #probes = new Set()
  /** Until when others wait for the last one's answer: it may never come. */
  #probedUntil = 0

  /**
   * @param {string} host
   * @param {Readonly<import('../common/options/policy.js').HostLimits>} limits
   * @param {{ failures: number, cooldown: number } | null} breaker
   */
  constructor(host, limits, breaker) {
    this.#host = host
    this.#limits = limits
    this.#breaker = breaker
    this.#interval = Math.min(1000 / limits.rps, MOST_INTERVAL_MS)
    this.#slack = this.#interval === 0 ? 0 : (limits.burst - 1) * this.#interval
  }

  /** Whether one that is made anew would do the same, but for failures of long ago: hosts that have failed may be without end. */
  get isIdle() {
    const at = now()
    if (this.#passes.size > 0 || this.#waiting.size > 0 || this.#pausedUntil > at || this.#due > at) return false
    if (this.#breaker === null || (this.#failures === 0 && this.#openUntil === 0)) return true
    return at >= this.#failedAt + Math.max(this.#breaker.cooldown, memory.failuresMs)
  }

  /** What `stats().hosts` shows. */
  stats() {
    const at = now()
    return {
      active: this.#passes.size,
      waiting: this.#waiting.size,
      pausedMs: Math.max(0, this.#pausedUntil - at),
      circuit: this.#circuit(at),
    }
  }

  /**
   * @param {Exchange} exchange that has no pass yet
   * @param {() => void} onTurn called if it has to wait, when it may begin
   * @returns {boolean} whether it may begin at once; else it waits, or has failed
   */
  enter(exchange, onTurn) {
    const at = now()
    const circuit = this.#circuit(at)
    if (circuit === 'open' || (circuit === 'half-open' && this.#probes.size > 0 && at < this.#probedUntil)) {
      refuseUnserved(exchange, this.#circuitOpen(at))
      return false
    }
    const mayBegin = this.#waiting.size === 0 && this.#opensIn(at) === 0
    const { origin, port } = exchange
    if (!mayBegin && origin.queue.size >= origin.origins.maxPending) {
      const message = `${origin.queue.size} requests to ${origin.label} are waiting already (maxPending)`
      refuseUnserved(exchange, coded('ERR_KEEPWIRE_QUEUE_FULL', message))
      return false
    }
    const pass = new Pass(this, exchange)
    exchange.pass = pass
    if (exchange.isFallback) watchFallback(exchange.req, pass)
    if (circuit === 'half-open') this.#probe(pass, at)
    if (mayBegin) {
      this.#due = Math.max(this.#due, at) + this.#interval
      pass.place = this.#passes.add(pass)
      return true
    }
    if (queued.hasSubscribers) tellQueued(exchange)
    pass.waits = this.#waiting.add(exchange)
    exchange.wait = new Wait(exchange, onTurn, this)
    exchange.wait.watch()
    native.holdBack(origin.origins.id, origin.key, true, -1)
    this.#schedule()
    // What it keeps waiting for may be on its way.
    port.drainSoon()
    return false
  }

  /**
   * @param {Pass} pass
   * @param {number} at
   */
  #probe(pass, at) {
    const { cooldown } = /** @type {{ cooldown: number }} */ (this.#breaker)
    this.#probes.add(pass)
    this.#probedUntil = at + Math.max(cooldown, LEAST_PROBE_MS)
  }

  /**
   * In how many ms the next one may begin; Infinity: not before another is over.
   * @param {number} at
   */
  #opensIn(at) {
    if (this.#passes.size >= this.#limits.concurrency) return Number.POSITIVE_INFINITY
    return Math.max(0, this.#pausedUntil - at, this.#due - this.#slack - at)
  }

  #schedule() {
    if (this.#timer !== null || this.#waiting.size === 0) return
    const ms = this.#opensIn(now())
    if (ms === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        this.#drain()
      },
      Math.min(Math.ceil(ms), MOST_TIMER_MS),
    )
    // It is the requests that keep the event loop alive.
    this.#timer.unref()
  }

  #drain() {
    try {
      for (let exchange = this.#waiting.first; exchange !== undefined; exchange = this.#waiting.first) {
        const at = now()
        // Of an open circuit, those that wait are about to be told.
        if (this.#opensIn(at) > 0 || this.#circuit(at) === 'open') break
        // A timer that comes late makes those after it no later, unless the process stood still.
        this.#due = Math.max(this.#due, at - this.#interval) + this.#interval
        this.#begin(exchange)
      }
    } finally {
      this.#schedule()
    }
  }

  /** @param {Exchange} exchange that waits */
  #begin(exchange) {
    const { resource } = exchange
    const wait = /** @type {Wait} */ (exchange.wait)
    const pass = /** @type {Pass} */ (exchange.pass)
    pass.place = this.#passes.add(pass)
    const before = exchange.queuedMs
    this.#release(exchange, () => wait.end())
    pass.heldMs = exchange.queuedMs - before
    resource.runInAsyncScope(wait.onTurn, null, 0, 0)
  }

  /**
   * @param {Exchange} exchange that waits no more
   * @param {() => void} [end]
   */
  #release(exchange, end) {
    const { origin, queuedMs } = exchange
    this.#waiting.remove(exchange.pass?.waits)
    end?.()
    native.holdBack(origin.origins.id, origin.key, false, end === undefined ? -1 : exchange.queuedMs - queuedMs)
  }

  /** @param {Exchange} exchange that waits no more, and has given up */
  cancel(exchange) {
    this.#release(exchange)
    exchange.settle()
    exchange.pass?.leave()
    if (this.#waiting.size > 0 || this.#timer === null) return
    clearTimeout(this.#timer)
    this.#timer = null
  }

  /** @param {Pass} pass that is over */
  leave(pass) {
    this.#probes.delete(pass)
    if (!this.#passes.remove(pass.place) || this.#waiting.size === 0 || this.#isDraining) return
    this.#isDraining = true
    // Its connection is not free before its exchange is done with it.
    nextTick(() => {
      this.#isDraining = false
      this.#drain()
    })
  }

  /** @param {number} ms that the host wants to be left alone */
  pause(ms) {
    const { retryAfterMs } = this.#limits
    this.#pausedUntil = Math.max(this.#pausedUntil, now() + Math.min(ms, retryAfterMs))
  }

  /**
   * What became of a request.
   * @param {Pass} pass
   * @param {boolean} isGood
   */
  note(pass, isGood) {
    if (this.#breaker === null) return
    if (!isGood) this.#failedAt = now()
    if (this.#openUntil === 0) {
      this.#failures = isGood ? 0 : this.#failures + 1
      if (this.#failures >= this.#breaker.failures) this.#open(this.#breaker.cooldown)
    } else if (this.#probes.delete(pass)) {
      if (isGood) this.#close()
      else this.#open(this.#breaker.cooldown)
    }
  }

  #close() {
    this.#openUntil = 0
    this.#probes.clear()
  }

  /** @param {number} cooldown */
  #open(cooldown) {
    this.#failures = 0
    this.#openUntil = Math.max(now() + cooldown, Number.MIN_VALUE)
    // In a turn of their own: somebody is being told of a failure.
    nextTick(() => this.#failWaiting())
  }

  /** Who waits, here or for a connection, is not served any more. */
  #failWaiting() {
    const behind = [...this.#passes].map(({ exchange }) => exchange)
    const at = now()
    for (const exchange of [...behind, ...this.#waiting]) {
      const { pass, wait } = exchange
      if (pass === null || !this.#probes.has(pass)) wait?.fail(this.#circuitOpen(at))
    }
  }

  /** @param {number} at */
  #circuit(at) {
    if (this.#openUntil === 0) return 'closed'
    return at < this.#openUntil ? 'open' : 'half-open'
  }

  /** @param {number} at */
  #circuitOpen(at) {
    const ms = Math.max(0, Math.ceil(this.#openUntil - at))
    const when = ms > 0 ? `it is tried again in ${ms} ms` : 'it is being tried again'
    const error = coded('ERR_KEEPWIRE_CIRCUIT_OPEN', `Requests to ${this.#host} have failed, ${when}`)
    return Object.assign(error, { host: this.#host })
  }
}

/**
 * Nobody but its events tells what becomes of a request over the runtime's sockets.
 * @param {any} req
 * @param {Pass} pass
 */
function watchFallback(req, pass) {
  const { emit } = req
  /**
   * @this {any}
   * @param {string} event
   * @param {...any} values
   */
  function watched(event, ...values) {
    if (event === 'response' || event === 'upgrade' || event === 'connect') {
      pass.noteAnswer(values[0].statusCode, values[0].rawHeaders)
    } else if (event === 'timeout') pass.noteSilence()
    else if (event === 'error') pass.noteFailure()
    else if (event === 'close') pass.leave()
    return emit.call(this, event, ...values)
  }
  Object.defineProperty(req, 'emit', hidden(watched))
  shadow(req, 'destroy', () => pass.noteGivenUp())
}

module.exports = { Gate, memory, Pass }
