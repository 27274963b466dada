'use strict'

// Carries one of the runtime's ClientRequests over the engine: the bytes it serializes go out on the leased connection,
// what the engine reports comes back as the events that the runtime's own socket and parser would cause.
//
// - An exchange has its connection from the lease to its check-in (see incoming.js), or to its connection's end.
// - It settles once: response end, error or abort. After that the port does not know it any more.
// - Everything is delivered in the asynchronous context of the request's creation.

const http = require('node:http')

const {
  ALL_WRITTEN,
  AFTER_HEAD,
  BEGIN_IDEMPOTENT,
  BEGIN_KEEP,
  BEGIN_NO_BODY,
  LARGE_CHUNK,
  WINDOW,
  WRITE_WANT_ACK,
} = require('./bridge/layout.js')
const { connectionReset, emitRequestError, fromRecord, streamDestroyed } = require('./errors.js')
const { completeResponse, deliverBody, deliverResponse, keepConnection } = require('./incoming.js')
const { AsyncResource, captureOnIncoming, isMeasured, kEndCallbacks, kNeedDrain } = require('./runtime.js')
const { kExchange } = require('./socket-view.js')

/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {import('./origins.js').Origin} Origin */

/** Re-sent on a fresh connection if the one it was written to died without a response byte: nothing can happen twice. */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
/** Consumed bytes are acknowledged in steps of this size, well before the engine's window is used up. */
const CREDIT_STEP = WINDOW / 4
const MAX_HEADER_SIZE = http.maxHeaderSize

const RESOURCE_OPTIONS = { requireManualDestroy: true }

class Exchange {
  /** @type {Connection | null} */
  connection = null
  /** Whether port and engine have forgotten it. */
  isSettled = false
  /** The response's last byte was read by the user. */
  isResponseEnded = false
  /** How long the server's hint lets the connection stay idle, in ms; -1: it gave none. */
  idleHintMs = -1
  /** Its place in the queue, while it waits. @type {import('./waiting.js').Wait | null} */
  wait = null
  /** Whether it wants a slot for a real socket only. */
  isForeign = false
  /** Whether 'timeout' was emitted while it waited. */
  hasTimedOut = false
  resource = new AsyncResource('HTTPCLIENTREQUEST', RESOURCE_OPTIONS)
  #began = false
  #requestEnded = false
  /** Whether the request was still being written when it got its connection. */
  #streaming = false
  #written = 0
  #acknowledged = 0
  /** Pairs: how many bytes must be written, and what is called then. @type {any[] | null} */
  #callbacks = null
  #needDrain = false
  #unread = 0
  #held = false
  #timeoutDue = false

  /**
   * @param {any} req
   * @param {any} agent
   * @param {Origin} origin
   * @param {Record<string, any>} options as addRequest() got them
   */
  constructor(req, agent, origin, options) {
    this.req = req
    this.agent = agent
    this.origin = origin
    this.options = options
    this.port = origin.origins.port
    this.id = this.port.open(this)
    req[kExchange] = this
  }

  get unacknowledged() {
    return this.#written - this.#acknowledged
  }

  /** @param {Connection} connection */
  connect(connection) {
    this.connection = connection
    connection.lease(this)
  }

  /** The request's turn, in the tick after its connection was found. */
  start() {
    const { req, connection } = this
    if (connection === null) return
    const { view } = connection
    req.socket = view
    view._httpMessage = req
    const agentTimeout = this.agent.options.timeout
    const timeout = req.timeout === undefined ? agentTimeout || 0 : req.timeout
    if ((req.timeout !== undefined || agentTimeout) && !req.timeoutCb) {
      this.#timeoutDue = !this.hasTimedOut
      req.timeoutCb = onRequestTimeout
    }
    if (!view.destroyed) {
      view.timeout = timeout
      connection.startTimeout(timeout)
    }
    req.emit('socket', view)
    req._flush()
    if (this.isSettled) return
    if (req.finished) {
      this.#endRequest(this.#callbacks !== null && (this.#callbacks.length > 2 || awaitsFinish(req)))
    } else {
      this.#streaming = true
      if (this.#callbacks !== null || this.#needDrain) this.port.submission.mark(this.id, WRITE_WANT_ACK)
      req.once('prefinish', onPrefinish)
    }
  }

  /** @param {boolean} wantsAcknowledgement */
  #endRequest(wantsAcknowledgement) {
    if (!this.#began) this.#begin()
    this.#requestEnded = true
    this.port.submission.end(this.id, wantsAcknowledgement ? WRITE_WANT_ACK : 0)
    if (isMeasured(this.req)) captureOnIncoming()
  }

  onPrefinish() {
    if (!this.isSettled && !this.#requestEnded) this.#endRequest(this.#callbacks !== null)
  }

  #begin() {
    this.#began = true
    const { req } = this
    let flags = req.shouldKeepAlive ? BEGIN_KEEP : 0
    if (req.method === 'HEAD') flags |= BEGIN_NO_BODY
    if (SAFE_METHODS.has(req.method)) flags |= BEGIN_IDEMPOTENT
    const connection = /** @type {Connection} */ (this.connection)
    this.port.submission.begin(this.id, flags, req.maxHeaderSize || MAX_HEADER_SIZE, connection.id)
  }

  /**
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {((error?: Error) => void) | undefined} callback
   * @returns {boolean} false: wait for 'drain'
   */
  write(data, encoding, callback) {
    if (!this.#began) this.#begin()
    const connection = /** @type {Connection} */ (this.connection)
    const highWaterMark = connection.view.writableHighWaterMark
    if (data.length > 0) {
      const large = data.length >= LARGE_CHUNK && this.unacknowledged + data.length >= highWaterMark
      const flags = large || (this.#streaming && typeof callback === 'function') ? WRITE_WANT_ACK : 0
      const length = this.port.submission.write(this.id, data, encoding, flags)
      this.#written += length
      connection.bytesWritten += length
      connection.touch()
    }
    if (typeof callback === 'function') {
      this.#callbacks ??= []
      this.#callbacks.push(this.#written, callback)
      if (this.unacknowledged === 0) process.nextTick(acknowledge, this)
    }
    if (this.unacknowledged < highWaterMark) return true
    if (!this.#needDrain) {
      this.#needDrain = true
      if (this.#streaming) this.port.submission.mark(this.id, WRITE_WANT_ACK)
    }
    return false
  }

  /** @param {number} written bytes the kernel has */
  onWritten(written) {
    this.resource.runInAsyncScope(acknowledge, null, this, written)
  }

  /** @param {number} written */
  acknowledge(written) {
    if (written > this.#acknowledged) {
      this.#acknowledged = Math.min(written, this.#written)
      this.connection?.touch()
    }
    const callbacks = this.#callbacks
    if (callbacks !== null) {
      let at = 0
      while (at < callbacks.length && callbacks[at] <= this.#acknowledged) at += 2
      this.#callbacks = at < callbacks.length ? callbacks.slice(at) : null
      for (let done = 0; done < at; done += 2) callbacks[done + 1]()
    }
    if (this.#needDrain && this.unacknowledged === 0) this.#drained()
    this.keepIfOver()
  }

  #drained() {
    this.#needDrain = false
    const { req } = this
    this.connection?.view.emit('drain')
    if (!req.finished && req[kNeedDrain]) {
      req[kNeedDrain] = false
      req.emit('drain')
    }
  }

  /** The response may end before the request is fully written: the connection is free when both are. */
  keepIfOver() {
    const { req } = this
    if (this.isResponseEnded && !this.isSettled && req.shouldKeepAlive && !req.destroyed && req.writableFinished) {
      keepConnection(this)
    }
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {string} head
   * @param {Buffer | null} body
   */
  onResponse(status, flags, head, body) {
    const connection = /** @type {Connection} */ (this.connection)
    connection.touch()
    connection.bytesRead += head.length + (body === null ? 0 : body.length)
    this.resource.runInAsyncScope(deliverResponse, null, this, status, flags, head, body)
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    const connection = /** @type {Connection} */ (this.connection)
    connection.touch()
    connection.bytesRead += chunk.length
    this.resource.runInAsyncScope(deliverBody, null, this, flags, chunk)
  }

  /**
   * @param {number} flags
   * @param {string} trailers
   */
  onEnd(flags, trailers) {
    this.resource.runInAsyncScope(completeResponse, null, this, flags, trailers)
  }

  /** @param {number} flags of any record: whether it acknowledges the whole request */
  noteWritten(flags) {
    if ((flags & ALL_WRITTEN) !== 0 && (this.#callbacks !== null || this.unacknowledged > 0)) {
      this.acknowledge(this.#written)
    }
  }

  /**
   * Response bytes arrived; they are acknowledged when the reader keeps up.
   * @param {number} bytes
   * @param {boolean} more whether the reader wants more at once
   */
  received(bytes, more) {
    this.#unread += bytes
    if (!more) this.#held = true
    else if (!this.#held && this.#unread >= CREDIT_STEP) this.#grant()
  }

  /** The reader has fallen behind, or asked for a pause. */
  hold() {
    this.#held = true
  }

  resume() {
    if (!this.#held) return
    this.#held = false
    if (this.#unread >= CREDIT_STEP) this.#grant()
  }

  #grant() {
    this.port.submission.acknowledge(this.id, this.#unread)
    this.#unread = 0
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} fields
   */
  onError(flags, errno, fields) {
    this.resource.runInAsyncScope(fail, null, this, flags, fromRecord(fields, errno))
  }

  /** The engine has nothing more to say about it. */
  settle() {
    if (this.isSettled) return
    this.isSettled = true
    this.port.release(this.id)
  }

  onTimeout() {
    this.resource.runInAsyncScope(reportTimeout, null, this)
  }

  /** Whether the request is still to be told of its timeout. */
  takeTimeout() {
    const due = this.#timeoutDue
    this.#timeoutDue = false
    return due
  }

  /**
   * Its connection is being destroyed, by the user or after a failure.
   * @param {Error | null} error
   */
  onDestroyed(error) {
    if (!this.isSettled) {
      this.port.submission.abort(this.id, /** @type {Connection} */ (this.connection).id)
      this.settle()
    }
    const callbacks = this.#callbacks
    this.#callbacks = null
    if (callbacks !== null) process.nextTick(failWrites, this, callbacks, error ?? streamDestroyed('write'))
  }

  /**
   * The view emitted 'error'.
   * @param {Error} error
   */
  onSocketError(error) {
    const { view } = /** @type {Connection} */ (this.connection)
    view._hadError = true
    emitRequestError(this.req, error)
  }

  /** The view is closed: what the request still misses is told now. */
  onSocketClose() {
    const { req } = this
    const { view } = /** @type {Connection} */ (this.connection)
    const { res } = req
    req.destroyed = true
    if (res) {
      if (!res.complete) res.destroy(connectionReset('aborted'))
      req._closed = true
      req.emit('close')
      if (!res.aborted && res.readable) res.push(null)
    } else {
      if (!view._hadError) {
        view._hadError = true
        emitRequestError(req, connectionReset('socket hang up'))
      }
      req._closed = true
      req.emit('close')
    }
    if (req.outputData) req.outputData.length = 0
  }

  /**
   * Its turn has come.
   * @param {number} kind
   * @param {number} connection
   */
  onAssigned(kind, connection) {
    const { wait } = this
    if (wait === null) return
    wait.end()
    this.resource.runInAsyncScope(wait.onTurn, null, kind, connection)
  }
}

/**
 * @param {Exchange} exchange
 * @param {number} [written]
 */
function acknowledge(exchange, written = 0) {
  if (!exchange.isSettled) exchange.acknowledge(written)
}

/** Whether anybody wants to know when the request is written. @param {any} req */
function awaitsFinish(req) {
  return req.listenerCount('finish') > 0 || (kEndCallbacks !== undefined && req[kEndCallbacks] !== null)
}

/**
 * @this {any} a request
 */
function onPrefinish() {
  this[kExchange]?.onPrefinish()
}

/** What `req.timeoutCb` holds: the runtime adds and removes it as a listener of the socket. @this {any} */
function onRequestTimeout() {
  this._httpMessage?.emit('timeout')
}

/** @param {Exchange} exchange */
function reportTimeout(exchange) {
  const { req, connection } = exchange
  if (exchange.takeTimeout()) req.emit('timeout')
  connection?.view.emit('timeout')
  if (!exchange.isResponseEnded && req.res) req.res.emit('timeout')
}

/**
 * @param {Exchange} exchange
 * @param {any[]} callbacks
 * @param {Error} error
 */
function failWrites(exchange, callbacks, error) {
  const view = /** @type {any} */ (exchange.connection).view
  // Runtimes before Node 24 look at this mark to tell a failed 'finish' from a good one.
  const hadError = view._hadError
  view._hadError = true
  try {
    for (let at = 1; at < callbacks.length; at += 2) callbacks[at](error)
  } finally {
    view._hadError = hadError
  }
}

/**
 * @param {Exchange} exchange
 * @param {number} flags
 * @param {Error & { code?: string, syscall?: string }} error
 */
function fail(exchange, flags, error) {
  exchange.noteWritten(flags)
  if (exchange.isSettled) return
  exchange.settle()
  const { req } = exchange
  const connection = /** @type {Connection} */ (exchange.connection)
  const { view } = connection
  connection.noteClosed()
  if (error.code?.startsWith('HPE_')) {
    view.destroy()
    view._hadError = true
    emitRequestError(req, error)
  } else if (error.code === 'ECONNRESET' && !error.syscall) {
    // The peer ended the connection: an error of the request before the head, of the response after it.
    if ((flags & AFTER_HEAD) === 0 && !req.res) {
      view._hadError = true
      emitRequestError(req, connectionReset('socket hang up'))
    }
    view.destroy()
  } else {
    view.destroy(error)
  }
}

module.exports = { Exchange }
