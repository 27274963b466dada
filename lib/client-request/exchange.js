'use strict'

// Carries one of the runtime's ClientRequests over the engine: the bytes it serializes go out on the leased connection
// (upload.js), what the engine reports comes back as the events that the runtime's own socket and parser would cause
// (response.js, and endings.js where there is none).
//
// - It settles by the response's end, an error or an abort.
// - Everything is delivered in the asynchronous context of the request's creation.

const { setImmediate } = require('../runtime/captured.js')
const { ALL_WRITTEN, WINDOW, WINDOW_PIECES } = require('../bridge/layout.js')
const { Exchange } = require('../exchange/exchange.js')
const { emitRequestError } = require('../common/errors.js')
const { close, fail, part, reportTimeout } = require('./endings.js')
const { completeResponse, deliverBody, deliverResponse, inform, keepConnection } = require('./response.js')
const { Outgoing } = require('./upload.js')
const { lazy } = require('../runtime/lazy.js')
const { AsyncResource, captureOnIncoming, isMeasured } = require('../runtime/probes.js')
const { kExchange } = require('../socket/socket.js')
const { settleUnserved } = require('../exchange/queue.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../agent/origin.js').Origin} Origin */

const errors = lazy(() => require('../exchange/errors.js'))

/** Consumed bytes are acknowledged in steps of this size, well before the engine's window is used up. */
const CREDIT_STEP = WINDOW / 4
/** The same in pieces, which have a window of their own. */
const CREDIT_PIECES = WINDOW_PIECES / 4
/** Bytes that the runtime reads of a connection at once, and parses to their end. */
const READ_AT_ONCE = 64 * 1024
/** Of these, what frames the chunks of a body: it is not told. */
const MOST_FRAMING = 4 * 1024

/** What is not there yet. @type {any} */
const UNKNOWN = null

class ClientExchange extends Exchange {
  /** What req.setTimeout() was told before there was an open connection; undefined: nothing. @type {any} */
  timeoutMs = undefined
  /** Whether that was before it had a socket: the runtime listens for any socket then. */
  hasEarlyTimeout = false
  /** Whether it keeps the event loop alive. */
  isRef = true
  /** Whether the program looks its name up: it is that which keeps the event loop alive then, or nothing does. */
  isLookingUp = false
  /** Whether its connection was destroyed under it. */
  isAborted = false
  /** Of a response whose user destroys it, so many bytes of what is there still count: what the runtime has read by then. */
  atHand = 0
  /** Whether the response's last byte was read by the user. */
  isResponseEnded = false
  /** Whether the user has ended the connection, which closes when the response is here. */
  isLast = false
  /** The request's way out, from when it is one of the runtime's. @type {Outgoing} */
  outgoing = UNKNOWN
  #unread = 0
  #unreadPieces = 0
  #held = false
  #timeoutDue = false
  #isSeen = false

  /**
   * @param {any} agent
   * @param {Origin} origin
   * @param {Record<string, any>} options as addRequest() got them
   */
  constructor(agent, origin, options) {
    super(agent, options)
    this.origin = origin
    this.port = origin.origins.port
    this.resource = new AsyncResource('HTTPCLIENTREQUEST')
  }

  /**
   * From here on it carries this request, one of the runtime's.
   * @param {any} req
   */
  attach(req) {
    this.req = req
    this.outgoing = new Outgoing(this)
    req[kExchange] = this
  }

  /** The request's turn, in the tick after its connection was found. */
  start() {
    const { req, connection, outgoing } = this
    if (connection === null) return
    const { socket } = connection
    req.socket = socket
    socket._httpMessage = req
    const { timeout } = this
    this.#expectTimeout()
    if (!socket.destroyed) {
      if (timeout !== 0 || socket.timeout !== undefined) socket.timeout = timeout
      connection.startTimeout(timeout)
    }
    // Who wants to see the connection before anything is sent on it listens by now, or when promises of 'socket' are kept.
    const isOpening = socket.connecting
    if (isOpening) outgoing.hold()
    req.emit('socket', socket)
    connection.noteGuards()
    if (isOpening && !connection.isGuarded) setImmediate(releaseUnguarded, this)
    req._flush()
    if (this.isSettled) return
    if (req.finished) this.onPrefinish()
    else if (!outgoing.isEnded) req.once('prefinish', onPrefinish)
  }

  /** The option `timeout`, in ms: the request's, else the agent's; 0: there is none. @returns {number} */
  get timeout() {
    return this.req.timeout === undefined ? this.agent.options.timeout || 0 : this.req.timeout
  }

  /** Whether a proxy has yet to open the way to its target: the option `timeout` is a tunnel's deadline in the runtime, too. */
  get awaitsTunnel() {
    const { connection, isSettled, origin, timeout } = this
    if (connection === null || connection.isConnected || isSettled) return false
    return timeout > 0 && origin.proxy !== undefined && !origin.proxy.forwards(origin.scheme)
  }

  /** @param {unknown} ms what req.setTimeout() was told before there was an open connection */
  noteTimeout(ms) {
    if (this.timeoutMs === undefined) this.hasEarlyTimeout = !this.req.socket
    this.timeoutMs = ms
  }

  #expectTimeout() {
    const { req } = this
    if ((req.timeout === undefined && !this.agent.options.timeout) || req.timeoutCb) return
    this.#timeoutDue = !this.hasTimedOut
    req.timeoutCb = onRequestTimeout
  }

  /**
   * Goes on with a request that was sent before it was one of the runtime's.
   * @param {number} sent bytes
   * @param {boolean} isDone whether the kernel has them all
   */
  resumeSent(sent, isDone) {
    this.outgoing.resumeSent(sent, isDone)
    this.#expectTimeout()
  }

  onPrefinish() {
    if (this.isSettled) return
    this.outgoing.end()
    if (isMeasured(this.req)) captureOnIncoming()
  }

  /**
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {((error?: Error) => void) | undefined} callback
   * @returns {boolean} false: wait for 'drain'
   */
  write(data, encoding, callback) {
    const connection = /** @type {Connection} */ (this.connection)
    const { outgoing } = this
    const before = outgoing.written
    const room = outgoing.write(data, encoding, callback, connection.socket.writableHighWaterMark)
    connection.bytesWritten += outgoing.written - before
    connection.touch()
    return room
  }

  /** @param {number} written bytes the kernel has */
  onSent(written) {
    this.connection?.touch()
    this.resource.runInAsyncScope(acknowledge, null, this, written)
  }

  /**
   * What was sent before the peer's answer is told before it.
   * @param {number} flags of any record: whether it acknowledges the whole request
   */
  noteWritten(flags) {
    if ((flags & ALL_WRITTEN) !== 0 && !this.outgoing.isDone) this.outgoing.acknowledgeAll()
    else this.outgoing.report()
  }

  /**
   * Whether what a record tells has to wait: in the runtime, whoever is told that its bytes are sent has reacted, promises
   * and all, before it hears of an answer.
   * @param {number} flags of the record
   */
  isBehind(flags) {
    const { outgoing } = this
    if ((flags & ALL_WRITTEN) !== 0 && !outgoing.isDone) this.resource.runInAsyncScope(acknowledgeAll, null, outgoing)
    return outgoing.isTelling
  }

  /**
   * Whoever destroys the request when he sees what the runtime reads first does not get the rest.
   * @param {number} coming
   */
  isUnseen(coming) {
    if (this.#isSeen || this.bytesRead + coming <= READ_AT_ONCE - MOST_FRAMING) return false
    this.#isSeen = true
    return true
  }

  /** More of the request is sent. The response may have ended before: the connection is free when both are over. */
  afterSending() {
    const { req } = this
    if (this.#held) this.#weigh()
    if (this.isSettled || !this.isResponseEnded) return
    if (this.isCheckInDue) {
      if (this.outgoing.isDone) this.checkIn()
    } else if (req.shouldKeepAlive && !req.destroyed && req.writableFinished) {
      keepConnection(this)
    }
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   */
  onInformation(status, flags, head) {
    this.noteReceived(head.size)
    this.resource.runInAsyncScope(inform, null, this, status, flags, head)
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   */
  onHead(status, flags, head, body) {
    this.noteReceived(head.size + (body === null ? 0 : body.length))
    this.resource.runInAsyncScope(deliverResponse, null, this, status, flags, head, body)
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    this.noteReceived(chunk.length)
    this.resource.runInAsyncScope(deliverBody, null, this, flags, chunk)
  }

  /**
   * @param {number} flags
   * @param {string} trailers
   */
  onEnd(flags, trailers) {
    this.resource.runInAsyncScope(completeResponse, null, this, flags, trailers)
  }

  /**
   * Response bytes arrived; they are acknowledged when the reader keeps up.
   * @param {number} bytes
   * @param {boolean} more whether the reader wants more at once
   */
  received(bytes, more) {
    this.#unread += bytes
    this.#unreadPieces += 1
    if (!more) this.hold()
    else if (!this.#held) this.#grantIfDue()
  }

  /** The reader has fallen behind, or asked for a pause. */
  hold() {
    if (this.#held) return
    this.#held = true
    this.#weigh()
  }

  resume() {
    if (!this.#held) return
    this.#held = false
    this.#weigh()
    this.#grantIfDue()
  }

  #grantIfDue() {
    if (this.#unread < CREDIT_STEP && this.#unreadPieces < CREDIT_PIECES) return
    this.acknowledge(this.#unread)
    this.#unread = 0
    this.#unreadPieces = 0
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} fields
   */
  onError(flags, errno, fields) {
    this.resource.runInAsyncScope(fail, null, this, flags, errors().fromRecord(fields, errno))
  }

  /** The user has ended the connection. */
  endConnection() {
    const { req } = this
    req.shouldKeepAlive = false
    this.isLast = true
    if (req.res?.complete) this.onComplete()
  }

  /** The response's last byte is here, whether or not its user has read it. */
  onComplete() {
    if (this.isLast) setImmediate(part, this)
  }

  onParted() {
    this.resource.runInAsyncScope(part, null, this)
  }

  /** @param {boolean} on */
  setRef(on) {
    if (this.isSettled) return
    this.isRef = on
    this.#weigh()
  }

  /** @param {boolean} on */
  setLookingUp(on) {
    this.isLookingUp = on
    this.#weigh()
  }

  /** As a socket of the runtime's that is not read: while nobody wants more of the response, it keeps no event loop alive. */
  #weigh() {
    this.keepAlive(this.isRef && !this.isLookingUp && !(this.#held && this.outgoing.isDone))
  }

  onConnection() {
    this.outgoing.connected()
  }

  get pending() {
    return this.outgoing.pending
  }

  cork() {
    this.outgoing.cork()
  }

  uncork() {
    this.outgoing.uncork()
  }

  /** @param {boolean} isClosed */
  failCallbacks(isClosed) {
    this.outgoing.failCallbacks(isClosed)
  }

  /** @param {Error | undefined} error */
  failUnserved(error) {
    settleUnserved(this.req, error)
  }

  onTimeout() {
    this.pass?.noteSilence()
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
    this.isAborted = true
    this.atHand = this.#readAhead
    if (!this.isSettled) {
      this.port.submission.abort(this.id, /** @type {Connection} */ (this.connection).id)
      this.settle()
      if (this.req.res && !this.req.res.complete) this.port.linger(this)
    }
    this.outgoing.fail(error)
  }

  /** Bytes of the response that the runtime has read by now, beside those that were told: it parses what it has read to its end. */
  get #readAhead() {
    const { bytesRead, lastRead, port } = this
    if (bytesRead <= READ_AT_ONCE) return READ_AT_ONCE - bytesRead
    const isWhole = Math.floor((bytesRead - lastRead) / READ_AT_ONCE) === Math.floor(bytesRead / READ_AT_ONCE)
    return isWhole && port.isTelling(this) ? READ_AT_ONCE - (bytesRead % READ_AT_ONCE) : 0
  }

  /**
   * The socket emitted 'error'.
   * @param {Error} error
   */
  onSocketError(error) {
    const { socket } = /** @type {Connection} */ (this.connection)
    socket._hadError = true
    emitRequestError(this.req, error)
  }

  onSocketClose() {
    close(this)
  }
}

/**
 * @param {ClientExchange} exchange
 * @param {number} written
 */
function acknowledge(exchange, written) {
  exchange.outgoing.acknowledge(written)
}

/** @param {Outgoing} outgoing */
function acknowledgeAll(outgoing) {
  outgoing.acknowledgeAll()
}

/** @param {ClientExchange} exchange */
function releaseUnguarded({ connection, outgoing }) {
  if (connection === null) return
  connection.noteGuards()
  if (!connection.isGuarded) outgoing.release()
}

/** @this {any} a request */
function onPrefinish() {
  this[kExchange]?.onPrefinish()
}

/** What `req.timeoutCb` holds: the runtime adds and removes it as a listener of the socket. @this {any} */
function onRequestTimeout() {
  this._httpMessage?.emit('timeout')
}

/**
 * Carries one of the runtime's requests from its beginning.
 * @param {any} req
 * @param {any} agent
 * @param {Origin} origin
 * @param {Record<string, any>} options as addRequest() got them
 */
function exchangeFor(req, agent, origin, options) {
  const exchange = new ClientExchange(agent, origin, options)
  exchange.open()
  exchange.attach(req)
  return exchange
}

module.exports = { ClientExchange, exchangeFor }
