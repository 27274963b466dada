'use strict'

// The deadlines of an agent for requests that fall back to the runtime's sockets: `connectTimeout`, `headersTimeout`,
// `bodyTimeout` and `tcpUserTimeout`, with the engine's meaning and errors; and how long such a socket serves:
// `freeSocketTimeout`, `socketActiveTTL`, `maxRequestsPerSocket` and what its server says of that.
//
// The runtime does not tell of each byte that the kernel takes, so a request is looked at several times within its limit:
// a deadline is told at most a step late, never early. Requests of agents without deadlines cost nothing.
//
// A process that was stopped (SIGSTOP, a paused container) may find the deadline over and the answer in the kernel, and the
// event loop runs timers before it reads. So a deadline that is over is told a little later, when the loop has read once more.

const { readFile } = require('node:fs')
const { clearTimeout, now, setTimeout } = require('../runtime/captured.js')

const { hintOf } = require('../bridge/response-heads.js')
const { coded } = require('../common/errors.js')
const native = require('../bridge/native.js')
const { deadlinesOf, freeSocketTimeout, keepAliveBuffer, milliseconds } = require('../common/options/limits.js')
const { isLinux } = require('../runtime/probes.js')

/** @typedef {import('../agent/origin.js').Origin} Origin */

/** How often a request is looked at within its shortest limit, and how often at most, in ms. */
const LOOKS = 16
const SHORTEST_STEP_MS = 2
/** How long what the kernel has may take until it was read, when a deadline is over. */
const GRACE_MS = 5
/** What a timer can count. */
const LONGEST_MS = 0x7fffffff

const ETIMEDOUT = -110

/** @param {string} syscall */
function timedOut(syscall) {
  return Object.assign(new Error(`${syscall} ETIMEDOUT`), { errno: ETIMEDOUT, code: 'ETIMEDOUT', syscall })
}

/** @param {any} agent */
function userTimeoutOf({ options }) {
  return isLinux ? milliseconds(options.tcpUserTimeout) : 0
}

/**
 * Waits until a socket is open.
 * @param {any} agent
 * @param {Origin} origin
 * @param {number} since when its request began to wait for a connection, by the captured clock
 * @param {(error: Error) => void} onLate
 * @returns {{ sees(socket: any): void, end(): void } | null} null: for as long as it takes
 */
function awaitOpen(agent, origin, since, onLate) {
  const connectMs = milliseconds(agent.options.connectTimeout)
  const userMs = userTimeoutOf(agent)
  if (connectMs === 0 && userMs === 0) return null
  /** @type {(() => void)[]} */
  const ends = []
  /** @type {(ms: number, error: Error & { code?: string }) => () => void} */
  const limit = (ms, error) => {
    if (ms === 0) return () => {}
    let isOver = false
    const tell = () => {
      if (isOver) return
      native.note(origin.origins.id, origin.key, false, String(error.code))
      onLate(error)
    }
    let timer = setTimeout(
      () => {
        timer = setTimeout(tell, GRACE_MS)
        timer.unref()
      },
      Math.min(ms, LONGEST_MS),
    )
    timer.unref()
    const end = () => {
      isOver = true
      clearTimeout(timer)
    }
    ends.push(end)
    return end
  }
  const message = `No connection to ${origin.label} within connectTimeout, ${connectMs} ms`
  const left = connectMs === 0 ? 0 : Math.max(1, since + connectMs - now())
  const onOpen = limit(left, coded('ERR_KEEPWIRE_CONNECT_TIMEOUT', message))
  // The kernel's limit is for TCP alone.
  const onConnect = limit(userMs, timedOut('connect'))
  const end = () => {
    for (const each of ends) each()
  }
  return {
    sees(socket) {
      const isConnected = !socket.connecting
      if (isConnected) onConnect()
      else socket.once('connect', onConnect)
      if (isConnected && !socket.secureConnecting) onOpen()
      else socket.once(socket.encrypted ? 'secureConnect' : 'connect', onOpen)
      socket.once('close', end)
    },
    end,
  }
}

/** What a request waits for. */
const NOTHING = 0
const HEAD = 1
const BODY = 2

class Watch {
  #origin
  #req
  #socket
  #headersMs
  #bodyMs
  #userMs
  #stepMs
  #informed = 0
  #awaited = NOTHING
  #progress = ''
  /** What the kernel has yet to be told the peer has. */
  #unsent = ''
  #since = now()
  #unsentSince = this.#since
  #isReading = false
  /** Runs while a deadline is over and what the kernel has is being read. @type {NodeJS.Timeout | undefined} */
  #grace = undefined
  /** @type {NodeJS.Timeout | undefined} */
  #timer = undefined

  /**
   * @param {Origin} origin
   * @param {any} req
   * @param {any} socket
   * @param {{ headersMs: number, bodyMs: number }} deadlines
   * @param {number} userMs
   */
  constructor(origin, req, socket, { headersMs, bodyMs }, userMs) {
    this.#origin = origin
    this.#req = req
    this.#socket = socket
    this.#headersMs = headersMs
    this.#bodyMs = bodyMs
    this.#userMs = userMs
    const shortest = Math.min(...[headersMs, bodyMs, userMs].filter((ms) => ms > 0))
    this.#stepMs = Math.min(Math.max(SHORTEST_STEP_MS, Math.ceil(shortest / LOOKS)), LONGEST_MS)
    const look = () => this.#look()
    const inform = () => {
      this.#informed += 1
      this.#look()
    }
    const end = () => {
      clearTimeout(this.#timer)
      clearTimeout(this.#grace)
      this.#timer = undefined
      req.removeListener('finish', look).removeListener('information', inform).removeListener('close', end)
      socket.removeListener('agentRemove', end)
    }
    this.end = end
    req.on('finish', look).on('information', inform).on('close', end)
    // Whoever has changed the protocol has the socket now.
    socket.on('agentRemove', end)
    this.#wait()
  }

  #wait() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#look(), this.#stepMs)
    this.#timer.unref()
  }

  /** @param {boolean} [isLast] the event loop has read since a deadline was found to be over */
  #look(isLast = false) {
    if (this.#timer === undefined) return
    const { res } = this.#req
    if (res?.complete || this.#req.destroyed) return this.end()
    const at = now()
    const awaited = this.#whatIsAwaited()
    const { bytesRead, bytesWritten, writableLength } = this.#socket
    const written = `${bytesWritten} ${writableLength} ${this.#socket._handle?.writeQueueSize}`
    const progress = awaited === BODY ? `${bytesRead}` : `${written} ${this.#informed}`
    if (awaited !== this.#awaited || progress !== this.#progress) {
      this.#awaited = awaited
      this.#progress = progress
      this.#since = at
      clearTimeout(this.#grace)
      this.#grace = undefined
    }
    const limitMs = awaited === HEAD ? this.#headersMs : awaited === BODY ? this.#bodyMs : 0
    if (limitMs > 0 && at - this.#since >= limitMs) {
      if (isLast) return this.#fail(late(awaited, limitMs), awaited)
      if (this.#grace === undefined) {
        this.#grace = setTimeout(() => this.#look(true), GRACE_MS)
        this.#grace.unref()
      }
    }
    if (this.#userMs > 0) this.#lookAtKernel(at, `${written} ${bytesRead}`)
    this.#wait()
  }

  #whatIsAwaited() {
    const { res, writableFinished } = this.#req
    if (!res) {
      if (this.#socket.connecting || this.#socket.secureConnecting) return NOTHING
      // While all bytes so far are sent, the next ones are the caller's to give.
      return writableFinished || this.#socket.writableLength > 0 ? HEAD : NOTHING
    }
    return res.readableLength < res.readableHighWaterMark && !res.isPaused() ? BODY : NOTHING
  }

  /**
   * Whether the peer acknowledges what it is sent. The kernel would know best, but the runtime's sockets can't be told to
   * ask it, so its table of connections is read when there is no other sign of life.
   * @param {number} at
   * @param {string} seen
   */
  #lookAtKernel(at, seen) {
    if (!this.#unsent.startsWith(`${seen}|`)) {
      this.#unsent = `${seen}|`
      this.#unsentSince = at
    }
    if (this.#isReading || this.#socket.connecting) return
    this.#isReading = true
    unacknowledged(this.#socket, (count) => {
      this.#isReading = false
      if (this.#timer === undefined || !this.#unsent.startsWith(`${seen}|`)) return
      const state = `${seen}|${count}`
      if (count === 0 || state !== this.#unsent) {
        this.#unsent = state
        this.#unsentSince = now()
      } else if (now() - this.#unsentSince >= this.#userMs) {
        this.#fail(timedOut(this.#req.res ? 'read' : 'write'), HEAD)
      }
    })
  }

  /**
   * @param {Error & { code?: string }} error
   * @param {number} awaited
   */
  #fail(error, awaited) {
    this.end()
    const { origins, key } = this.#origin
    native.note(origins.id, key, false, String(error.code))
    const { res } = this.#req
    if (awaited === BODY && res) {
      // An error of the response: the request has had its answer.
      this.#socket.destroy()
      res.destroy(error)
    } else {
      this.#socket.destroy(error)
    }
  }
}

/**
 * @param {number} awaited
 * @param {number} ms
 */
function late(awaited, ms) {
  return awaited === BODY
    ? coded('ERR_KEEPWIRE_BODY_TIMEOUT', `No more of the response's body within bodyTimeout, ${ms} ms`)
    : coded('ERR_KEEPWIRE_HEADERS_TIMEOUT', `No response head within headersTimeout, ${ms} ms`)
}

/** @param {number} port as the kernel's table has it */
function hex(port) {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

/**
 * How many bytes a connection's peer has not acknowledged.
 * @param {any} socket
 * @param {(count: number) => void} done
 */
function unacknowledged({ localPort, remoteFamily, remotePort }, done) {
  const file = remoteFamily === 'IPv6' ? '/proc/self/net/tcp6' : '/proc/self/net/tcp'
  readFile(file, 'latin1', (error, table) => {
    const line = `:${hex(Number(localPort))} [0-9A-F]+:${hex(Number(remotePort))} [0-9A-F]+ ([0-9A-F]+):`
    const found = error ? null : new RegExp(line).exec(table)
    done(found === null ? 0 : Number.parseInt(found[1], 16))
  })
}

/**
 * Has a request on one of the runtime's sockets keep to its agent's deadlines.
 * @param {any} agent
 * @param {Origin} origin
 * @param {any} req
 * @param {any} socket
 */
function watch(agent, origin, req, socket) {
  const { bodyTimeout, headersTimeout } = agent.options
  const deadlines = deadlinesOf(headersTimeout, bodyTimeout)
  const userMs = userTimeoutOf(agent)
  if (deadlines === null && userMs === 0) return
  new Watch(origin, req, socket, deadlines ?? { headersMs: 0, bodyMs: 0 }, userMs)
}

/**
 * How long one of the runtime's sockets serves requests.
 * @typedef {object} Life
 * @property {number} endsAt by the captured clock
 * @property {number} uses requests so far
 * @property {number} usesLeft how many more its server takes
 * @property {NodeJS.Timeout | undefined} timer while it is idle
 */

/** @type {WeakMap<object, Life>} */
const lives = new WeakMap()

/** By how much lives are shortened at random, so that what began together does not end together. */
const JITTER = 0.1

/**
 * A socket begins to serve.
 * @param {any} agent
 * @param {object} socket
 */
function beginLife(agent, socket) {
  const ttlMs = milliseconds(agent.options.socketActiveTTL)
  const endsAt = ttlMs > 0 ? now() + ttlMs * (1 - JITTER * Math.random()) : Number.POSITIVE_INFINITY
  lives.set(socket, { endsAt, uses: 0, usesLeft: Number.POSITIVE_INFINITY, timer: undefined })
}

/**
 * A request on it is over.
 * @param {any} agent
 * @param {any} socket
 * @returns {number} for how many ms it may wait for the next one; 0: it is to be closed
 */
function restOf(agent, socket) {
  const life = lives.get(socket)
  if (life === undefined) return Number.POSITIVE_INFINITY
  life.uses += 1
  const { timeoutMs, max } = hintOf(socket._httpMessage?.res?.rawHeaders ?? [])
  life.usesLeft = Math.min(life.usesLeft - 1, max)
  const most = milliseconds(agent.options.maxRequestsPerSocket)
  if (life.usesLeft <= 0 || (most > 0 && life.uses >= most)) return 0
  const hintMs = timeoutMs < 0 ? Number.POSITIVE_INFINITY : timeoutMs - keepAliveBuffer(agent)
  // The agent's `timeout` is the runtime's to heed, and of whoever has set another on the socket.
  const limitMs = freeSocketTimeout(agent.options) || Number.POSITIVE_INFINITY
  return Math.max(0, Math.min(limitMs, hintMs, life.endsAt - now()))
}

/**
 * It is idle, for `ms` at most.
 * @param {any} socket
 * @param {number} ms
 */
function beginIdle(socket, ms) {
  const life = lives.get(socket)
  if (life === undefined || ms === Number.POSITIVE_INFINITY) return
  life.timer = setTimeout(closeIdle, Math.min(Math.ceil(ms), LONGEST_MS), socket)
  life.timer.unref()
}

/** @param {any} socket that serves again, or is closed */
function endIdle(socket) {
  const life = lives.get(socket)
  if (life !== undefined) clearTimeout(life.timer)
}

/** @param {any} socket */
function closeIdle(socket) {
  socket.destroy()
}

module.exports = { awaitOpen, beginIdle, beginLife, endIdle, restOf, watch }
