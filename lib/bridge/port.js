'use strict'

// This thread's door to the engine: the native port, both batches, and who is behind the ids that travel in them.
//
// - An exchange's number never comes back (numbers.js): a record that comes late never finds a later exchange.
// - Once nobody uses its context any more and nothing is under way, the port is collected, and closed by the engine.
// - The event loop is kept alive exactly while exchanges are open whose sockets are not unref()ed, not by idle
//   connections.
// - Nothing thrown by a user's callback leaves wake(): it surfaces as an uncaught exception of its own, and the records
//   behind it are delivered afterwards.

const { nextTick, queueMicrotask, setImmediate } = require('../runtime/captured.js')
const { coded, throwSoon } = require('../common/errors.js')
const { hasEventLoop, looksItself, wakesBeforeTicks } = require('../runtime/probes.js')
const native = require('./native.js')
const { Completion } = require('./records.js')
const { Submission } = require('./commands.js')
const { LOOKED_RECORDS, LOOKED_WAITS } = require('./layout.js')
const { NONE, Numbers } = require('./numbers.js')

/** Batches read in one go; more wait for the event loop's next turn, so that timers and other sockets have theirs. */
const MOST_BATCHES = 16
/** The same in bytes: tiny pieces of bodies are thousands in one batch. */
const MOST_BYTES = 128 * 1024

/** From how many requests under way on this thread leaves them to the I/O thread, and from how few on it takes them back. */
const CALM = looksItself ? { mostCarried: 1, carriesAt: 1 } : { mostCarried: 16, carriesAt: 12 }

/**
 * What is left of a peak with each request that begins. Many clients whose responses come in one batch begin anew from none under way:
 * the first of them would be taken for few.
 */
const PEAK_KEEPS = 31 / 32

/**
 * How long this thread looks for a response, in microseconds, before the I/O thread waits for it: a server nearby has answered by then, and
 * this thread is busy for no longer.
 */
const LOOKS_FOR_US = 300

/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../agent/origins.js').Origins} Origins */

class Port {
  /** Connections by id, from the lease that dials them until they are closed. @type {Map<number, Connection>} */
  connections = new Map()
  /** What was put off to this tick comes first, as a request that is given its socket. */
  #wake = wakesBeforeTicks ? () => nextTick(drain, this) : () => this.drain()
  /** By which the engine knows it: nothing of the engine's is held here. */
  id = native.openPort(native.contexts.wake)
  #completion = new Completion(this.id)
  /** @type {Numbers<Exchange>} */
  #exchanges = new Numbers()
  /** Exchanges that keep the event loop alive. */
  #holding = 0
  /** Requests that wait for their turn: nothing of them is under way. */
  queued = 0
  #active = false
  #settling = false
  #draining = false
  /** Whether who was told something started a request since records were fetched. */
  #hasOpened = false
  #looksUp = false
  /** Whether records wait until promises are kept. */
  #isWaiting = false
  /** @type {Map<number, Exchange>} */
  #lingering = new Map()
  /** How often records were read, or went on to be after a wait. */
  round = 0
  /** @type {Map<number, WeakRef<Origins>>} */
  #agents = new Map()
  #collected = new FinalizationRegistry((/** @type {number} */ agent) => {
    this.#agents.delete(agent)
    native.dropAgent(agent)
  })
  submission = new Submission(this.id, () => this.drainSoon())
  #isCalm = false
  /** How many requests have been under way of late. */
  #peak = 0
  /** Whether this thread can carry exchanges itself; undefined: nobody has asked. @type {boolean | undefined} */
  #hasLoop = hasEventLoop || looksItself ? undefined : false
  #isLooking = false

  constructor() {
    native.contexts.watch(this.id, this.#wake)
  }

  /** @param {boolean} isActive */
  #setActive(isActive) {
    this.#active = isActive
    native.contexts.hold(this.id, isActive)
    native.setActive(this.id, isActive)
  }

  /**
   * @param {Origins} origins
   * @param {import('./native.js').NativeLimits} limits
   * @returns {number} the agent's id
   */
  addAgent(origins, limits) {
    const agent = native.createAgent(this.id, limits)
    this.#agents.set(agent, new WeakRef(origins))
    this.#collected.register(origins, agent)
    return agent
  }

  /** @param {number} id */
  agent(id) {
    return this.#agents.get(id)?.deref()
  }

  /**
   * @param {Exchange} exchange
   * @returns {number} its number
   */
  open(exchange) {
    const id = this.#exchanges.take(exchange)
    if (id === NONE) throw coded('ERR_KEEPWIRE_QUEUE_FULL', 'too many requests are under way in this thread')
    this.#hasOpened = true
    this.hold()
    return id
  }

  /** @param {number} id */
  exchange(id) {
    return this.#exchanges.get(id)
  }

  /** @param {number} id */
  release(id) {
    this.#exchanges.release(id)
    this.loosen()
  }

  /** One more keeps the event loop alive. */
  hold() {
    this.#holding += 1
    if (this.#active) return
    this.#setActive(true)
  }

  /** One less. */
  loosen() {
    this.#holding -= 1
    // The next request often follows within the same tick.
    if (this.#holding === 0 && !this.#settling) {
      this.#settling = true
      nextTick(settle, this)
    }
  }

  /** Whether so few requests are under way that this thread carries them itself. */
  isCalm() {
    const { carriesAt, mostCarried } = CALM
    this.#peak = Math.max(this.#exchanges.count - this.queued, this.#peak * PEAK_KEEPS)
    this.#isCalm = this.#peak <= (this.#isCalm ? mostCarried : carriesAt)
    if (!this.#isCalm || this.#hasLoop === false) return false
    this.#hasLoop ??= native.openLoop(this.id, native.contexts.wake, looksItself)
    if (looksItself && this.#hasLoop && !this.#isLooking) {
      this.#isLooking = true
      setImmediate(look, this)
    }
    return this.#hasLoop
  }

  /** Whether there has been no more than one of late, as isCalm() found. */
  get isQuiet() {
    return this.#peak < 2
  }

  /**
   * Once in each turn of the loop, until the response is here or the I/O thread waits for it (src/bridge/in_loop.rs).
   * @param {Port} port
   */
  static look(port) {
    const found = native.look(port.id, LOOKS_FOR_US)
    port.#isLooking = (found & LOOKED_WAITS) !== 0
    if (port.#isLooking) setImmediate(look, port)
    if ((found & LOOKED_RECORDS) !== 0) port.drain()
  }

  /** @param {boolean} on whether this thread looks names up for the engine (lookup.js), and not the system */
  setLooksUp(on) {
    if (on === this.#looksUp) return
    this.#looksUp = on
    native.setLooksUp(this.id, on)
  }

  /** For records that this thread caused. */
  drainSoon() {
    if (!this.#draining) nextTick(drainInTick, this)
  }

  drain() {
    if (this.#draining || this.#isWaiting) return
    this.#draining = true
    this.round += 1
    try {
      let bytes = 0
      for (let batch = 0; this.#completion.fetch(); batch += 1) {
        // Of a request that is told of in the turn it was made in, nobody hears: `await request(…)` listens a promise later.
        if (batch === MOST_BATCHES || bytes >= MOST_BYTES || (batch > 0 && this.#hasOpened)) {
          setImmediate(drain, this)
          break
        }
        this.#hasOpened = false
        bytes += this.#completion.bytes
        if (!this.#completion.dispatch(this)) {
          this.#waitForPromises()
          break
        }
      }
    } catch (error) {
      throwSoon(error, this.#completion.subject?.resource)
      setImmediate(drain, this)
    } finally {
      this.#draining = false
      this.#completion.subject = undefined
    }
  }

  /**
   * Whether a record about it is being told.
   * @param {Exchange} exchange
   */
  isTelling(exchange) {
    return this.#completion.subject === exchange
  }

  /**
   * An exchange that was destroyed by its user hears of what is here already, until its connection closes.
   * @param {Exchange} exchange
   */
  linger(exchange) {
    this.#lingering.set(exchange.id, exchange)
    setImmediate(endLingering, this, exchange.id)
  }

  /** @param {number} id */
  lingering(id) {
    return this.#lingering.size === 0 ? undefined : this.#lingering.get(id)
  }

  /** @param {Port} port */
  static drainInTick(port) {
    if (port.#isWaiting) return
    // Promises of this turn are not kept yet.
    if (port.#hasOpened) port.#waitForPromises()
    else port.drain()
  }

  /** Records go on when whoever has been told something has reacted, promises included. */
  #waitForPromises() {
    this.#isWaiting = true
    // Ticks run before promises are kept, those of a promise after all of them.
    nextTick(queueMicrotask, () => nextTick(goOn, this))
  }

  /**
   * @param {Port} port
   * @param {number} id
   */
  static endLingering(port, id) {
    port.drain()
    port.#lingering.delete(id)
  }

  /** @param {Port} port */
  static goOn(port) {
    port.#isWaiting = false
    port.drain()
  }

  /** @param {Port} port */
  static settle(port) {
    port.#settling = false
    if (port.#holding > 0 || !port.#active) return
    port.#setActive(false)
  }
}

const { drainInTick, endLingering, goOn, look, settle } = Port

/** @param {Port} port */
function drain(port) {
  port.drain()
}

/** @type {Port | undefined} */
let thisThread

/** The thread's port, made when it is first needed. */
function threadPort() {
  thisThread ??= new Port()
  return thisThread
}

module.exports = { Port, threadPort }
