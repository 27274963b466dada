'use strict'

// One request of a fetch over an agent's connections, as lease.js, queue.js and connection.js know requests: its pool,
// limits, deadlines, retries, counters and diagnostics are those of http.request over the same agent.
//
// A handler is also what those show of it: the `request` of diagnostics messages, an entry of `agent.requests`. Its owner hears
// of it until it is abandoned or over; its connection is checked in before its owner hears of the response's end.

const { maxHeaderSize } = require('node:http')

const {
  ALL_WRITTEN,
  BEGIN_FETCH,
  KEEP_ALIVE,
  MAY_DO,
  MESSAGE_END,
  MIGHT_DO,
  PROXYS,
  RENEGOTIATES,
  WRITE_WANT_ACK,
} = require('../bridge/layout.js')
const { httpVersion } = require('../bridge/response-heads.js')
const { isLookupReplaced } = require('../runtime/genuine.js')
const { connectionReset } = require('../common/errors.js')
const { tellProxyError } = require('../common/proxies/option.js')
const { BaseHandler } = require('./base-handler.js')
const { lease } = require('../exchange/lease.js')
const { isIdempotent } = require('../exchange/retry-policy.js')
const { maySpeakHttp2 } = require('../socket/socket.js')
const { AsyncResource } = require('../runtime/probes.js')
const { bodyFailed, closedBySomebody, fetchFailed } = require('./errors.js')
const { fieldOf, wireHead } = require('./head.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('./request.js').FetchRequest} FetchRequest */

/**
 * Who sends hops, and hears of them.
 * @typedef {object} Owner
 * @property {() => void} onReady a body that is a stream may be sent now
 * @property {() => void} onTaken what was sent of it last has been taken
 * @property {(status: number, head: import('../bridge/response-heads.js').Head, body: Buffer | null, ended: boolean) => void} onResponse
 * @property {(chunk: Buffer, ended: boolean) => void} onData
 * @property {() => void} onEnd
 * @property {() => void} onStalled no more comes until what is there has been read
 * @property {(error: unknown) => void} onFailed
 * @property {(agent: any, origin: Origin) => void} onUnmatched nothing was sent: the engine's TLS has nothing in common with
 *   the server's, but the runtime's may have
 */

/** Hears nothing. @type {Owner} */
const NOBODY = Object.freeze({
  onReady() {},
  onTaken() {},
  onResponse() {},
  onData() {},
  onEnd() {},
  onStalled() {},
  onFailed() {},
  onUnmatched() {},
})

class Handler extends BaseHandler {
  reusedSocket = false
  /** @type {undefined} */
  _header = undefined
  /** The agent's `timeout` tells silence, and ends nothing. */
  timeout = 0
  /** The response is its owner's. */
  res = null
  /** @type {Owner} */
  #owner
  #request
  #mayStay = true
  /** Whether all of the request was handed to the engine. */
  #isComplete = false
  /** Whether the kernel has all of it. */
  #isSent = false
  #sent = 0
  /** @type {Error | undefined} */
  #reason = undefined

  /**
   * @param {FetchRequest} request
   * @param {any} agent
   * @param {Owner} owner
   */
  constructor(request, agent, owner) {
    super(agent, request.proxying === null ? request.target.wanted : { ...request.target.wanted, ...request.proxying })
    this.req = this
    this.#request = request
    this.#owner = owner
  }

  // What requests show.

  get method() {
    return this.#request.method
  }

  get url() {
    return this.#request.target.href
  }

  get path() {
    return this.#request.target.path
  }

  get host() {
    return this.options.host
  }

  /** @param {string} name in lower case */
  getHeader(name) {
    const value = fieldOf(this.#request, name)
    return value === undefined && name === 'host' ? this.#request.target.authority : value
  }

  /** @param {Error} [error] */
  destroy(error) {
    this.#reason = error
    // One that waits is told of it by its Wait.
    if (this.wait === null && !this.isSettled) this.connection?.socket.destroy(error)
  }

  setTimeout() {}

  /**
   * Asks for a connection, and goes out on it.
   * @param {Origin} origin
   * @param {boolean} isPlain whether the options say no more about the connection than host and port
   */
  start(origin, isPlain) {
    this.origin = origin
    this.isPlain = isPlain
    this.port = origin.origins.port
    this.open()
    // Whoever looks names up for it does so in the context of whoever fetches.
    if (isLookupReplaced()) this.resource = new AsyncResource('HTTPCLIENTREQUEST')
    lease(this, false, send)
  }

  /** It has its connection. */
  sendHead() {
    const { agent, id } = this
    const connection = /** @type {Connection} */ (this.connection)
    const { submission } = this.port
    const request = this.#request
    const { body, method } = request
    connection.startTimeout(0)
    const keepAlive = agent.keepAlive || Number.isFinite(agent.maxSockets)
    this.#mayStay = keepAlive && !/\bclose\b/i.test(fieldOf(request, 'connection') ?? '')
    this.begin(method, BEGIN_FETCH, this.#mayStay, isIdempotent(this), maxHeaderSize)
    this.#sent = submission.write(id, wireHead(request, keepAlive), 'latin1', 0)
    if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
      if (body !== null) this.#sent += submission.write(id, body, 'utf8', 0)
      this.#isComplete = true
      submission.end(id, 0)
    } else {
      this.#owner.onReady()
    }
    connection.bytesWritten += this.#sent
    if (request.trace === null) return
    request.trace.sendHead(request, connection.socket, keepAlive)
    if (this.#isComplete) request.trace.sendEnd()
  }

  /**
   * A piece of a body that is a stream.
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  send(bytes, isLast) {
    if (this.isSettled) return
    const { id, port } = this
    const { submission } = port
    const isChunked = this.#request.length < 0
    let sent = 0
    if (bytes.byteLength > 0) {
      if (isChunked) sent += submission.write(id, `${bytes.byteLength.toString(16)}\r\n`, 'latin1', 0)
      sent += submission.write(id, bytes, null, isLast || isChunked ? 0 : WRITE_WANT_ACK)
      if (isChunked) sent += submission.write(id, '\r\n', 'latin1', isLast ? 0 : WRITE_WANT_ACK)
    }
    if (isLast) {
      if (isChunked) sent += submission.write(id, '0\r\n\r\n', 'latin1', 0)
      submission.end(id, 0)
      this.#isComplete = true
      this.#request.trace?.sendEnd()
    }
    this.#sent += sent
    const connection = /** @type {Connection} */ (this.connection)
    connection.bytesWritten += sent
  }

  /** Its owner has no more interest in it. */
  abandon() {
    this.#owner = NOBODY
    this.destroy()
  }

  /** @param {number} written bytes the kernel has */
  onSent(written) {
    if (written !== this.#sent) return
    if (this.#isComplete) this.#isSent = true
    if (this.isCheckInDue) this.#checkInNow()
    else this.#owner.onTaken()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   */
  onHead(status, flags, head, body) {
    this.noteReceived(head.size + (body === null ? 0 : body.length))
    this.noteHint(head.hint())
    this.#note(flags)
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.#finish()
    this.#owner.onResponse(status, this.#isSecond(flags) ? withoutReason(head) : head, body, ended)
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    this.noteReceived(chunk.length)
    this.noteReturned(chunk)
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.#finish()
    this.#owner.onData(chunk, ended)
  }

  /** @param {number} flags */
  onEnd(flags) {
    this.#note(flags)
    this.#finish()
    this.#owner.onEnd()
  }

  /**
   * Whether it is over HTTP/2. Some gateways say so of what they forward.
   * @param {number} flags of a RESPONSE
   */
  #isSecond(flags) {
    const { socket } = /** @type {Connection} */ (this.connection)
    return httpVersion(flags) === '2.0' && maySpeakHttp2(socket)
  }

  /** @param {number} flags of a RESPONSE or its END */
  #note(flags) {
    if ((flags & KEEP_ALIVE) === 0) this.#mayStay = false
    if ((flags & ALL_WRITTEN) !== 0) this.#isSent = true
  }

  /** The response is complete: the connection is free as soon as the request's last byte is out. */
  #finish() {
    if (this.#mayStay && this.#isSent) {
      this.#checkInNow()
    } else if (this.#mayStay && this.#isComplete) {
      this.isCheckInDue = true
      this.port.submission.write(this.id, '', 'latin1', WRITE_WANT_ACK)
    } else {
      this.retire()
      this.connection?.socket.destroy()
    }
  }

  #checkInNow() {
    this.checkIn()
    const { socket, isClosed } = /** @type {Connection} */ (this.connection)
    if (socket._httpMessage === this) socket._httpMessage = null
    if (isClosed) socket.destroy()
    else if (this.agent.listenerCount('free') > 1) this.agent.emit('free', socket, this.origin.options)
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} text
   */
  onError(flags, errno, text) {
    this.settle()
    const connection = /** @type {Connection} */ (this.connection)
    connection.noteClosed()
    connection.socket.destroy()
    const error = bodyFailed(flags, text, errno)
    if ((flags & PROXYS) !== 0) tellProxyError(this, /** @type {Error} */ (error.cause))
    if ((flags & RENEGOTIATES) !== 0) this.origin.noteRenegotiation()
    // The engine leaves it to who asked whether such a failure is one.
    if ((flags & (MAY_DO | MIGHT_DO)) !== 0) {
      const { origin } = this
      if (origin.handsOver((flags & MAY_DO) !== 0)) {
        this.#owner.onUnmatched(this.agent, origin)
        return
      }
      origin.noteError(/** @type {Error} */ (error.cause))
    }
    this.#owner.onFailed(error)
  }

  /** @param {Error | null} error */
  onDestroyed(error) {
    if (this.isSettled) return
    const { submission } = this.port
    submission.abort(this.id, /** @type {Connection} */ (this.connection).id)
    submission.abortFetch(this.id)
    this.settle()
    this.#owner.onFailed(fetchFailed(error ?? closedBySomebody()))
  }

  /** @param {Error | undefined} error */
  failUnserved(error) {
    this.#owner.onFailed(fetchFailed(error ?? this.#reason ?? connectionReset('socket hang up')))
  }

  /** The user of an agent's socket has ended it: it takes no further request. */
  endConnection() {
    this.#mayStay = false
  }

  onStalled() {
    this.#owner.onStalled()
  }
}

/**
 * HTTP/2 has no reason phrase: what the engine says in its place is for http.request.
 * @param {import('../bridge/response-heads.js').Head} head which may be others' too
 * @returns {any}
 */
function withoutReason({ lines }) {
  return { lines, reason: '' }
}

/** @param {Handler} handler */
function send(handler) {
  handler.sendHead()
}

module.exports = { Handler }
