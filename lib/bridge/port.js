'use strict'

// This thread's door to the engine: the native port, both batches, and who is behind the ids that travel in them.
//
// - An exchange id is a slot (low 20 bits) and its generation: a record that comes late never finds a later exchange.
// - Once nobody uses its context any more and nothing is under way, the port is collected, and closed by the engine.
// - The event loop is kept alive exactly while exchanges are open whose sockets are not unref()ed, not by idle
//   connections.
// - Nothing thrown by a user's callback leaves wake(): it surfaces as an uncaught exception of its own, and the records
//   behind it are delivered afterwards.

const native = require('../native.js')
const { Completion } = require('./decode.js')
const { Submission } = require('./encode.js')

const SLOT_BITS = 20
const SLOT_MASK = (1 << SLOT_BITS) - 1
const GENERATION_MASK = 0xfff
/** Batches read in one go; more wait for the event loop's next turn, so that timers and other sockets have theirs. */
const MOST_BATCHES = 16

/** @typedef {import('../carry.js').Exchange} Exchange */
/** @typedef {import('../connection.js').Connection} Connection */
/** @typedef {import('../origins.js').Origins} Origins */

class Port {
  /** Connections by id, from the lease that dials them until they are closed. @type {Map<number, Connection>} */
  connections = new Map()
  #wake = () => this.drain()
  #waker = native.weakly(this.#wake, native.closePort)
  /** By which the engine knows it: nothing of the engine's is held here. */
  id = native.openPort(this.#waker.wake)
  #completion = new Completion(this.id)
  /** Slot 0 stays unused, so that no id is 0. @type {(Exchange | undefined)[]} */
  #exchanges = [undefined]
  #generations = [0]
  /** @type {number[]} */
  #freeSlots = []
  /** Exchanges that keep the event loop alive. */
  #holding = 0
  #active = false
  #settling = false
  #draining = false
  /** @type {Map<number, WeakRef<Origins>>} */
  #agents = new Map()
  #collected = new FinalizationRegistry((/** @type {number} */ agent) => {
    this.#agents.delete(agent)
    native.dropAgent(agent)
  })
  submission = new Submission(this.id)

  constructor() {
    this.#waker.watch(this.#wake, this.id)
  }

  /** @param {boolean} isActive */
  #setActive(isActive) {
    this.#active = isActive
    this.#waker.hold(isActive)
    native.setActive(this.id, isActive)
  }

  /**
   * @param {Origins} origins
   * @param {import('../native.js').NativeLimits} limits
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
   * @returns {number} its id
   */
  open(exchange) {
    const slot = this.#freeSlots.pop() ?? this.#exchanges.length
    const generation = ((this.#generations[slot] ?? 0) + 1) & GENERATION_MASK
    this.#generations[slot] = generation
    this.#exchanges[slot] = exchange
    this.hold()
    return ((generation << SLOT_BITS) | slot) >>> 0
  }

  /** @param {number} id */
  exchange(id) {
    const exchange = this.#exchanges[id & SLOT_MASK]
    return exchange !== undefined && exchange.id === id ? exchange : undefined
  }

  /**
   * @param {number} id
   * @param {Exchange} exchange what carries on under it
   */
  replace(id, exchange) {
    this.#exchanges[id & SLOT_MASK] = exchange
  }

  /** @param {number} id */
  release(id) {
    const slot = id & SLOT_MASK
    this.#exchanges[slot] = undefined
    this.#freeSlots.push(slot)
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
      process.nextTick(settle, this)
    }
  }

  drainSoon() {
    if (!this.#draining) process.nextTick(drain, this)
  }

  drain() {
    if (this.#draining) return
    this.#draining = true
    try {
      for (let batch = 0; this.#completion.fetch(); batch += 1) {
        if (batch === MOST_BATCHES) {
          setImmediate(drain, this)
          break
        }
        this.#completion.dispatch(this)
      }
    } catch (error) {
      process.nextTick(rethrow, error)
      setImmediate(drain, this)
    } finally {
      this.#draining = false
    }
  }

  /** @param {Port} port */
  static settle(port) {
    port.#settling = false
    if (port.#holding > 0 || !port.#active) return
    port.#setActive(false)
  }
}

const { settle } = Port

/** @param {Port} port */
function drain(port) {
  port.drain()
}

/** @param {unknown} error */
function rethrow(error) {
  throw error
}

/** @type {Port | undefined} */
let thisThread

/** The thread's port, made when it is first needed. */
function threadPort() {
  thisThread ??= new Port()
  return thisThread
}

module.exports = { Port, threadPort }
