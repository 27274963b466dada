'use strict'

// What an agent does beside requests: connections opened in advance, and an end in good order.

const { clearTimeout, setTimeout } = require('../runtime/captured.js')
const { ADOPTING, DIALING, FOR_RETRYABLE, IDLE, MAY_DO, MIGHT_DO, PROXYS } = require('../bridge/layout.js')
const { isLookupReplaced } = require('../runtime/genuine.js')
const native = require('../bridge/native.js')
const { Connection } = require('../exchange/connection.js')
const { fromRecord } = require('../exchange/errors.js')
const { Exchange } = require('../exchange/exchange.js')
const { kFind, kReason, NO_REQUEST } = require('./symbols.js')
const { invalidValue, notANumber, outOfRange } = require('../common/errors.js')
const { proxyFor, tellProxyError } = require('../common/proxies/option.js')

/** @typedef {import('./origin.js').Origin} Origin */
/** @typedef {import('./origins.js').Origins} Origins */

const MOST_TIMER_MS = 0x7fffffff

/** Opens a connection for nobody yet. */
class Opening extends Exchange {
  /** @type {Promise<boolean>} whether it was opened */
  opened
  /** @type {(opened: boolean) => void} */
  #resolve = () => {}
  /** @type {(error: Error) => void} */
  #reject = () => {}

  /** @param {Origin} origin */
  constructor(origin) {
    super(origin.origins.agent, origin.options)
    this.origin = origin
    this.port = origin.origins.port
    this.open()
    this.opened = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /**
   * @param {number} profile
   * @returns {boolean} whether it holds a connection now
   */
  start(profile) {
    const { id, origin, port } = this
    port.setLooksUp(isLookupReplaced())
    const answer = native.lease(port.id, origin.origins.id, origin.key, profile, id, FOR_RETRYABLE)
    const kind = answer & 7
    if (kind === DIALING || kind === IDLE || kind === ADOPTING) {
      const conn = answer >>> 3
      const known = port.connections.get(conn)
      const connection = kind === IDLE && known ? known : new Connection(origin, conn, origin.options)
      this.connect(connection)
      connection.uses -= 1
      if (kind === IDLE) this.onConnection()
      return true
    }
    // There is no room for one more: whoever waits in earnest goes first.
    native.cancel(port.id, id)
    this.settle()
    this.#resolve(false)
    return false
  }

  onConnection() {
    this.#resolve(true)
  }

  /** It keeps the event loop alive until it is over, whoever looks its name up. */
  setLookingUp() {}

  /** The connection is free for whoever wants it. */
  release() {
    const { connection } = this
    if (connection === null || connection.exchange !== this) this.settle()
    else if (!this.returnUnused()) connection.socket.destroy()
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} fields
   */
  onError(flags, errno, fields) {
    // Its requests will fall back to the runtime's sockets: there is nothing to open in advance.
    if ((flags & MAY_DO) !== 0) {
      this.#resolve(false)
    } else {
      const error = fromRecord(fields, errno)
      if ((flags & PROXYS) !== 0) tellProxyError(this, error)
      if ((flags & MIGHT_DO) !== 0) this.origin.noteError(error)
      this.#reject(error)
    }
    this.#drop()
  }

  /** @param {Error | null} error */
  onDestroyed(error) {
    this.port.submission.abort(this.id, /** @type {Connection} */ (this.connection).id)
    if (error === null) this.#resolve(false)
    else this.#reject(error)
  }

  #drop() {
    const connection = /** @type {Connection} */ (this.connection)
    connection.exchange = null
    connection.noteClosed()
    connection.socket.destroy()
  }
}

/**
 * Opens connections to an origin until it has `count`, as far as the agent's limits allow, and keeps them idle.
 * @param {any} agent
 * @param {Origins} origins
 * @param {string | URL} where such as 'http://example.com:8080'
 * @param {number} [count]
 * @returns {Promise<number>} how many there are
 */
async function preconnect(agent, origins, where, count = 1) {
  const url = new URL(where)
  if (url.protocol !== agent.protocol)
    throw invalidValue('origin', String(where), `must begin with ${agent.protocol}//`)
  if (typeof count !== 'number') throw notANumber('count', count)
  if (!Number.isInteger(count) || count < 0) throw outOfRange('count', 'an integer >= 0', count)
  if (!agent.keepAlive) return 0
  const hostname = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  const wanted = { __proto__: null, host: hostname, port: Number(url.port || agent.defaultPort), path: null }
  origins.syncOptions()
  origins.syncLimits()
  const proxy = await proxyFor(agent, wanted, () => `${url.origin}/`)
  const origin = agent[kFind](origins, NO_REQUEST, wanted, undefined, proxy)
  if (agent[kReason](origin, NO_REQUEST, wanted, undefined) !== undefined) return 0
  const openings = []
  const most = Math.min(count, agent.maxFreeSockets)
  while (openings.length < most) {
    const opening = new Opening(origin)
    if (!opening.start(origin.profile(agent, wanted))) break
    openings.push(opening)
  }
  const outcomes = await Promise.allSettled(openings.map(({ opened }) => opened))
  for (const opening of openings) opening.release()
  const failed = outcomes.find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw /** @type {PromiseRejectedResult} */ (failed).reason
  return outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value).length
}

/**
 * Waits until no request is under way or waiting, at most `deadline` ms, then closes everything.
 * @param {any} agent
 * @param {Origins | undefined} origins undefined: it has had no request
 * @param {{ deadline?: number }} [options]
 */
async function close(agent, origins, { deadline } = {}) {
  if (deadline !== undefined && typeof deadline !== 'number') throw notANumber('deadline', deadline)
  if (deadline !== undefined && !(deadline >= 0)) throw outOfRange('deadline', '>= 0', deadline)
  if (origins !== undefined && !origins.isQuiet) await quiet(origins, deadline)
  agent.destroy()
}

/**
 * @param {Origins} origins
 * @param {number} [deadlineMs]
 * @returns {Promise<void>}
 */
function quiet(origins, deadlineMs) {
  return new Promise((resolve) => {
    const before = origins.onQuiet
    /** @type {NodeJS.Timeout | undefined} */
    let timer
    const done = () => {
      clearTimeout(timer)
      origins.onQuiet = null
      before?.()
      resolve()
    }
    origins.onQuiet = done
    if (deadlineMs !== undefined && deadlineMs <= MOST_TIMER_MS) timer = setTimeout(done, deadlineMs)
  })
}

module.exports = { close, preconnect }
