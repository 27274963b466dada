'use strict'

// The request's way out: bytes into the submission batch, and when the runtime hears that they are sent.
//
// To the runtime the engine is what the kernel is to its own sockets: once the connection is there, up to SEND_BUFFER
// bytes count as sent as soon as they are written; beyond that the engine's acknowledgements decide. So write callbacks,
// 'finish' and 'drain' come when they come on a real socket, and what waits in memory stays bounded.
//
// As with a stream, one write is under way at a time. Those behind it wait, and go out as one when it is sent.

const { Buffer } = require('node:buffer')
const { maxHeaderSize } = require('node:http')
const { getSystemErrorMap } = require('node:util')

const { nextTick } = require('../runtime/captured.js')
const { WRITE_WANT_ACK } = require('../bridge/layout.js')
const { coded, optionError, streamDestroyed } = require('../common/errors.js')
const { isIdempotent } = require('../exchange/retry-policy.js')
const { forgetsCanceledWrites, isBun, isDeno, kNeedDrain, tellsCanceledAtOnce } = require('../runtime/probes.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {{ data: string | Uint8Array, encoding: BufferEncoding | null | undefined, flags: number }} Held */

const SEND_BUFFER = 256 * 1024
const CLOSE = /\bclose\b/i
const SAYS_CLOSE = /\r\nconnection[ \t]*:.*\bclose\b/i

class Outgoing {
  /** Whether the kernel has every byte of the whole request. */
  isDone = false
  /** Whether the request is complete. */
  isEnded = false
  #began = false
  /** Whether all was sent by somebody else, to a connection that was open: this thread may have yet to hear so. */
  #isResumed = false
  #written = 0
  #acknowledged = 0
  /** Where the write under way starts and ends: all before is sent, what is behind waits. */
  #underWayFrom = 0
  #underWayTo = 0
  /**
   * What was written before the connection was there, if it may have to go another way.
   * @type {{ data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: (error?: Error) => void }[]}
   */
  #unsent = []
  /** Pairs: up to where bytes must be sent, and what is called then. @type {any[] | null} */
  #callbacks = null
  /** What is kept back until the connection's listeners have seen it; null: nothing is. @type {Held[] | null} */
  #held = null
  /** Those of a connection that was destroyed. @type {any[] | null} */
  #failedCallbacks = null
  /** @type {(Error & { syscall?: string }) | null} */
  #reason = null
  #isFailed = false
  /** In which of the port's rounds callbacks were called last. */
  #toldIn = -1
  #needDrain = false
  #reporting = false
  /** Where the bytes start that wait for uncork(), to the runtime's mind; -1: nowhere. */
  #corkedAt = -1
  #exchange

  /** @param {ClientExchange} exchange */
  constructor(exchange) {
    this.#exchange = exchange
  }

  /** Bytes that count as sent. */
  get #sent() {
    // There is none any more after takeBack(), of which a socket that was corked hears later.
    const isConnected = this.#exchange.connection?.isConnected
    if (this.#corkedAt >= 0) return Math.min(this.#corkedAt, this.#acknowledged + SEND_BUFFER)
    return isConnected || this.#isResumed
      ? Math.min(this.#written, this.#acknowledged + SEND_BUFFER)
      : this.#acknowledged
  }

  /** Bytes that do not count as sent yet. */
  get pending() {
    return this.#written - this.#sent
  }

  #begin() {
    this.#began = true
    const { req } = this.#exchange
    const mayStay = req.shouldKeepAlive && !saysClose(req)
    this.#exchange.begin(req.method, 0, mayStay, isIdempotent(req), req.maxHeaderSize || maxHeaderSize)
  }

  /**
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {((error?: Error) => void) | undefined} callback
   * @param {number} highWaterMark
   * @returns {boolean} false: wait for 'drain'
   */
  write(data, encoding, callback, highWaterMark) {
    if (this.#isFirst) this.#unsent.push({ data, encoding, callback })
    const before = this.#written
    const sent = this.#sent
    const waiting = before - sent
    if (data.length > 0) {
      const beyond = before + data.length > this.#acknowledged + SEND_BUFFER
      this.#written += this.#send(data, encoding, beyond ? WRITE_WANT_ACK : 0)
    }
    this.#advance(sent)
    if (typeof callback === 'function') {
      if (this.#isFailed) {
        // The connection failed before its request's turn, as on Deno it may.
        this.#failedCallbacks ??= []
        this.#failedCallbacks.push(this.#written, callback)
      } else {
        this.#callbacks ??= []
        this.#callbacks.push(this.#written, callback)
      }
    }
    const room = waiting + this.#written - before < highWaterMark
    if (!room) this.#needDrain = true
    this.#reportSoon()
    return room
  }

  /**
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {number} flags
   * @returns {number} bytes
   */
  #send(data, encoding, flags) {
    if (this.#held !== null) {
      this.#held.push({ data, encoding, flags })
      return typeof data === 'string' ? Buffer.byteLength(data, encoding ?? 'utf8') : data.byteLength
    }
    if (!this.#began) this.#begin()
    const { id, port } = this.#exchange
    return port.submission.write(id, data, encoding, flags)
  }

  /** Keeps back what is written from now on, to a connection that is being opened. */
  hold() {
    if (!this.#began) this.#held = []
  }

  /** Whoever wanted to see the connection first has seen it, or nobody does. */
  release() {
    const held = this.#held
    this.#held = null
    if (held === null || this.#exchange.isSettled) return
    for (const { data, encoding, flags } of held) this.#send(data, encoding, flags)
    if (this.isEnded) this.#complete()
  }

  #complete() {
    if (!this.#began) this.#begin()
    const { id, port } = this.#exchange
    port.submission.end(id, 0)
  }

  /** Whether what is written goes to a connection that is being opened, to a peer that the engine may not get on with. */
  get #isFirst() {
    const { connection, origin } = this.#exchange
    return origin.secure !== undefined && connection?.isConnected === false
  }

  /** What was written to a connection that never opened; this hears no more of it. */
  takeBack() {
    const unsent = this.#unsent
    this.#unsent = []
    this.#held = null
    this.#callbacks = null
    this.#needDrain = false
    return unsent
  }

  /** What is written from now on counts as waiting until uncork(). */
  cork() {
    if (this.#corkedAt < 0) this.#corkedAt = this.#sent
  }

  uncork() {
    const sent = this.#sent
    this.#corkedAt = -1
    this.#advance(sent)
    this.#reportSoon()
  }

  /**
   * Whatever waits goes out as one when the write under way is sent.
   * @param {number} sent
   */
  #advance(sent) {
    if (sent < this.#underWayTo || this.#corkedAt >= 0) return
    this.#underWayFrom = this.#underWayTo
    this.#underWayTo = this.#written
  }

  /** Up to where callbacks are due: a write is sent when all of it is. */
  get #due() {
    const sent = this.#sent
    this.#advance(sent)
    return sent >= this.#underWayTo ? this.#underWayTo : this.#underWayFrom
  }

  get written() {
    return this.#written
  }

  /** The request is complete. */
  end() {
    if (this.isEnded) return
    this.isEnded = true
    if (this.#held === null) this.#complete()
  }

  /**
   * All of it was sent by somebody else.
   * @param {number} bytes
   * @param {boolean} isDone whether the kernel has them
   */
  resumeSent(bytes, isDone) {
    this.#began = true
    this.#isResumed = true
    this.isEnded = true
    this.isDone = isDone
    this.#written = bytes
    this.#underWayTo = bytes
    if (isDone) this.#acknowledged = bytes
  }

  /**
   * Of what was sent by somebody else, not all counts as sent yet: these are called when it does.
   * @param {((error?: Error) => void)[]} callbacks
   */
  awaitSent(callbacks) {
    this.#callbacks = callbacks.flatMap((callback) => [this.#written, callback])
    this.#needDrain = true
    this.demandAcknowledgement()
  }

  /** Has the engine tell when all is with the kernel. */
  demandAcknowledgement() {
    const { id, port } = this.#exchange
    port.submission.write(id, '', 'latin1', WRITE_WANT_ACK)
  }

  /**
   * @param {number} total bytes the kernel has
   */
  acknowledge(total) {
    if (total > this.#acknowledged) this.#acknowledged = Math.min(total, this.#written)
    if (this.isEnded && this.#acknowledged === this.#written) this.isDone = true
    this.report()
    this.#exchange.afterSending()
  }

  /** The kernel has the whole request. */
  acknowledgeAll() {
    this.isDone = true
    this.#acknowledged = this.#written
    this.report()
    this.#exchange.afterSending()
  }

  #reportSoon() {
    if (this.#reporting || (this.#callbacks === null && !this.#needDrain)) return
    if (this.#callbacks === null ? this.#sent < this.#written : this.#due < this.#callbacks[0]) return
    this.#reporting = true
    nextTick(report, this)
  }

  /** The connection is there. */
  connected() {
    const { origin, req } = this.#exchange
    this.#unsent = []
    if (origin.secure !== undefined) Reflect.deleteProperty(req, 'setTimeout')
    this.release()
    this.#reportSoon()
  }

  /** Calls back for what counts as sent. */
  report() {
    this.#reporting = false
    if (this.#callbacks === null && !this.#needDrain) return
    const exchange = this.#exchange
    if (exchange.isAborted) return
    const sent = this.#sent
    if (this.#callbacks !== null) this.#callBack(this.#callbacks, this.#due)
    if (this.#needDrain && sent === this.#written) this.#drained()
    exchange.afterSending()
  }

  /**
   * @param {any[]} callbacks
   * @param {number} due
   */
  #callBack(callbacks, due) {
    let to = 0
    while (to < callbacks.length && callbacks[to] <= due) to += 2
    if (to === 0) return
    this.#toldIn = this.#exchange.port.round
    // Whoever destroys the connection in one of them fails those that wait, and not once more those that are called.
    this.#callbacks = to < callbacks.length ? callbacks.slice(to) : null
    let at = 0
    try {
      while (at < to) {
        at += 2
        callbacks[at - 1]()
      }
    } finally {
      // One has thrown: the next report goes on.
      if (at < to && !this.#isFailed) this.#callbacks = [...callbacks.slice(at, to), ...(this.#callbacks ?? [])]
    }
  }

  #drained() {
    this.#needDrain = false
    const { connection, req } = this.#exchange
    connection?.socket.emit('drain')
    if (!req.finished && req[kNeedDrain]) {
      req[kNeedDrain] = false
      req.emit('drain')
    }
  }

  /** Whether callbacks of writes are being told, or have been in this round of records: what they cause comes first. */
  get isTelling() {
    return this.#reporting || this.#toldIn === this.#exchange.port.round
  }

  /**
   * The connection is destroyed: nobody is told any more of bytes that are sent.
   * @param {Error | null} error
   */
  fail(error) {
    this.#isFailed = true
    this.#failedCallbacks = this.#callbacks
    this.#reason = error
    this.#callbacks = null
    this.#needDrain = false
    const { connection, origin } = this.#exchange
    // What fails ends Deno's writes as well, before anybody hears of the socket.
    const isEndedHere = connection?.isConnected && (isDeno || !this.#reason?.syscall)
    if (isEndedHere && tellsCanceledAtOnce(origin.secure !== undefined)) this.failCallbacks(false)
  }

  /**
   * The connection closes: whoever waits for bytes to be sent is told that they are not, after the request has heard its error.
   * What waited for a connection that never opened hears so when the request has closed.
   * @param {boolean} isClosed whether it has
   */
  failCallbacks(isClosed) {
    const callbacks = this.#failedCallbacks
    if (callbacks === null) return
    const { isConnected, origin } = /** @type {import('../exchange/connection.js').Connection} */ (
      this.#exchange.connection
    )
    if (isConnected === isClosed) return
    this.#failedCallbacks = null
    const reason = this.#reason
    const underWay = isConnected ? canceled(reason, origin.secure !== undefined) : closedBeforeConnection()
    const waiting = reason ?? underWay ?? streamDestroyed('write')
    this.#exchange.resource.runInAsyncScope(failWrites, null, callbacks, this.#underWayTo, underWay, waiting)
  }
}

/**
 * What the runtime says of a write that was under way when its socket was destroyed.
 * @param {(Error & { syscall?: string }) | null} reason why it was
 * @param {boolean} isSecure
 */
function canceled(reason, isSecure) {
  if (forgetsCanceledWrites()) return null
  if (isBun && !reason?.syscall) return coded('ERR_SOCKET_CLOSED', 'Socket is closed')
  // As libuv tells of it.
  const why = isBun && isSecure ? ' Canceled because of SSL destruction' : ''
  const error = /** @type {any} */ (coded('ECANCELED', `write ECANCELED${why}`))
  for (const [errno, [name]] of getSystemErrorMap()) if (name === 'ECANCELED') error.errno = errno
  error.syscall = 'write'
  return error
}

function closedBeforeConnection() {
  const message = 'Socket closed before the connection was established'
  return optionError(Error, 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION', message)
}

/**
 * Whether a request that its agent would keep the connection of asks the server to close it.
 * @param {any} req
 */
function saysClose(req) {
  const said = req.getHeader('connection')
  if (said !== undefined) return CLOSE.test(String(said))
  // Headers given as an array are serialized without being kept.
  return req.getHeader('host') === undefined && SAYS_CLOSE.test(req._header ?? '')
}

/** @param {Outgoing} outgoing */
function report(outgoing) {
  outgoing.report()
}

/**
 * @param {any[]} callbacks
 * @param {number} underWayTo where the write ends that was under way
 * @param {Error | null} underWay what its callbacks hear
 * @param {Error} waiting what those hear that are behind it
 */
function failWrites(callbacks, underWayTo, underWay, waiting) {
  for (let at = 1; at < callbacks.length; at += 2) callbacks[at](callbacks[at - 1] <= underWayTo ? underWay : waiting)
}

module.exports = { Outgoing, SEND_BUFFER }
