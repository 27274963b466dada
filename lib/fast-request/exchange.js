'use strict'

// Carries a fast request over the engine: on a connection that is idle, or becomes so while it waits, sent whole in one go, answered
// by a response that its user reads by 'data' and 'end'. Everything else that can happen makes request, response and
// exchange the runtime's own first (promote.js); the exchange goes on as what it extends, client-request/exchange.js.
//
// 'data', 'end' and 'close' are told in the ticks in which the runtime's streams tell them.

const { Buffer } = require('node:buffer')
const { maxHeaderSize } = require('node:http')

const { ALL_WRITTEN, IDLE, KEEP_ALIVE, MESSAGE_END, QUEUED, WRITE_END } = require('../bridge/layout.js')
const { httpVersion } = require('../bridge/response-heads.js')
const { ClientExchange } = require('../client-request/exchange.js')
const { arrive, endsInRuntime, MOST_HEADER_LINES } = require('../client-request/response.js')
const { SEND_BUFFER } = require('../client-request/upload.js')
const { startSoon } = require('../agent/agent.js')
const { isWatched } = require('../exchange/batch.js')
const { serve } = require('../exchange/lease.js')
const { SAFE_METHODS } = require('../exchange/retry-policy.js')
const { IncomingMessage } = require('../runtime/genuine.js')
const { hasListeners } = require('../runtime/probes.js')
const { leaseIdle, takeIdle, waitForIdle } = require('./lease.js')
const { promote } = require('./promote.js')
const { ANSWERED, CLOSED, ENDED, MADE, SENT, WAITING } = require('./state.js')
const { FastResponse } = require('./response.js')
const { enqueue } = require('./tell.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */

/** Of texts that go out with their heads, in UTF-16 units. */
const MOST_TEXT = 16 * 1024
/** Of bytes: more is rare, and the engine keeps no memory for it. */
const MOST_BODY = 2 * 1024 * 1024
const SWITCHING_PROTOCOLS = 101
const KEPT = KEEP_ALIVE | ALL_WRITTEN

const { _addHeaderLine: addHeaderLine } = /** @type {any} */ (IncomingMessage.prototype)
const notJoined = Object.freeze({ joinDuplicateHeaders: false })

class FastExchange extends ClientExchange {
  /** Whether request and response are the runtime's own. */
  isPromoted = false
  /** @type {number} */
  phase = MADE
  /** @type {any} */
  res = null
  /** Starts what carries it in its place, if it was promoted while it was pending. @type {(() => void) | null} */
  successor = null
  /** What the engine answered instead of an idle connection; -1: it has not. */
  answer = -1
  /** Whether it was in the queue. */
  hasWaited = false
  /** Bytes sent. */
  sent = 0
  /** Of its records so far. */
  flags = 0
  /** Whether the user has ended the request. */
  isEnded = false
  /** @type {string | Uint8Array | undefined} */
  body = undefined
  /** Of the response. */
  status = 0
  /** @type {any} */
  head = null
  /** What came with the head and is not told yet. @type {Buffer | null} */
  chunk = null
  /** Whether the response's last byte is here. */
  isComplete = false
  isFlowing = false
  /** Whether the user has heard of the end. */
  isEndTold = false
  /** Whether nobody wants the response. */
  isDumped = false
  /** Made for the user, who may have changed them. @type {Record<string, any> | null} */
  shownHeaders = null
  /** @type {string[] | null} */
  shownRawHeaders = null
  #isDue = false
  #isEndDue = false

  /**
   * @param {any} agent
   * @param {import('./template.js').Template} template
   */
  constructor(agent, template) {
    super(agent, /** @type {import('../agent/origin.js').Origin} */ (template.origin), template.options)
    this.foundBy = IDLE
    this.isPlain = true
    this.template = template
  }

  /**
   * @param {unknown} chunk of end()
   * @param {unknown} encoding
   * @returns {boolean} false: it takes the runtime's own request
   */
  end(chunk, encoding) {
    if (this.isEnded || encoding !== undefined) return false
    if (chunk !== undefined && chunk !== null && chunk !== '') {
      if (!this.template.head.takesBody) return false
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return false
      if (chunk.length === 0 || chunk.length > (typeof chunk === 'string' ? MOST_TEXT : MOST_BODY)) return false
      if (typeof chunk === 'string' && !this.template.head.takesText) return false
      this.body = chunk
    }
    this.isEnded = true
    return true
  }

  /** Makes request and response the runtime's own, at any time. It goes on as what it extends. */
  promote() {
    if (this.isPromoted) return
    this.isPromoted = true
    this.resource.runInAsyncScope(promote, null, this)
  }

  /** @param {number} flags */
  isBehind(flags) {
    return this.isPromoted && super.isBehind(flags)
  }

  onConnection() {
    if (this.isPromoted) super.onConnection()
  }

  /** Whether all bytes count as sent: so many do as soon as they are written, or the kernel has them. */
  get isSent() {
    return this.sent <= SEND_BUFFER || (this.flags & ALL_WRITTEN) !== 0
  }

  /** Whether somebody waits for the request to be sent who did not when it went out. */
  get #isAwaited() {
    return !this.isSent && this.req.listenerCount('finish') > 0
  }

  /** @param {number} total bytes the kernel has */
  onSent(total) {
    if (!this.isPromoted && this.#isAwaited) this.promote()
    if (this.isPromoted) {
      super.onSent(total)
      return
    }
    this.connection?.touch()
    if (total === this.sent) this.flags |= ALL_WRITTEN
  }

  /** The tick after the request was made. Nobody but its user hears of what happens. */
  start() {
    if (this.isPromoted) {
      super.start()
      return
    }
    if (!this.isEnded || hasEarlyListeners(this.req)) this.promote()
    else if (leaseIdle(this)) this.#begin()
    else if (this.answer >= 0 && (this.answer & 7) === QUEUED && !this.agent.options.timeout) this.#wait()
    else this.promote()
  }

  #wait() {
    this.phase = WAITING
    this.hasWaited = true
    waitForIdle(this)
  }

  /**
   * Its turn in the queue has come.
   * @param {number} kind
   * @param {number} id the connection's
   */
  onTurn(kind, id) {
    if (this.isPromoted || hasEarlyListeners(this.req) || isWatched() || !takeIdle(this, kind, id)) {
      this.promote()
      serve(this, false, startSoon, kind, id)
      return
    }
    this.#begin()
  }

  /** It has its connection, and is all there is to send. */
  #begin() {
    const { agent, template } = this
    const connection = /** @type {Connection} */ (this.connection)
    this.phase = SENT
    const { socket } = connection
    const timeout = agent.options.timeout || 0
    if (timeout !== 0 || socket.timeout !== undefined) socket.timeout = timeout
    connection.startTimeout(timeout)
    this.#send(connection, template)
  }

  /**
   * @param {Connection} connection
   * @param {import('./template.js').Template} template
   */
  #send(connection, { head, method }) {
    const { body, id } = this
    const { submission } = this.port
    this.begin(method, 0, true, SAFE_METHODS.has(method), maxHeaderSize)
    if (body === undefined) {
      this.sent = submission.write(id, head.bare, undefined, WRITE_END)
    } else {
      const length = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
      this.sent =
        submission.write(id, head.text(length), 'latin1', 0) + submission.write(id, body, undefined, WRITE_END)
    }
    connection.bytesWritten += this.sent
    if (!this.isSent && connection.socket.listenerCount('drain') > 0) this.promote()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   */
  onHead(status, flags, head, body) {
    const ended = (flags & MESSAGE_END) !== 0
    if (
      this.isPromoted ||
      status === SWITCHING_PROTOCOLS ||
      (ended && (flags & KEPT) !== KEPT) ||
      (flags & KEEP_ALIVE) === 0 ||
      head.lines.length > MOST_HEADER_LINES ||
      this.#isAwaited ||
      hasListeners()
    ) {
      this.promote()
      super.onHead(status, flags, head, body)
      return
    }
    this.noteReceived(head.size + (body === null ? 0 : body.length))
    this.head = head
    this.flags |= flags
    this.status = status
    this.phase = ANSWERED
    this.res = new /** @type {any} */ (FastResponse)(this)
    this.resource.runInAsyncScope(answer, null, this, body, ended)
  }

  /**
   * @param {number} flags
   * @param {Buffer} chunk
   */
  onData(flags, chunk) {
    const ended = (flags & MESSAGE_END) !== 0
    const isFast = this.isFlowing && !this.#isDue && this.chunk === null && !(ended && (this.flags & KEPT) !== KEPT)
    if (this.isPromoted || !isFast) {
      this.promote()
      super.onData(flags, chunk)
      return
    }
    this.noteReceived(chunk.length)
    this.resource.runInAsyncScope(tellChunk, null, this, chunk, ended)
  }

  /**
   * @param {number} flags
   * @param {string} trailers
   */
  onEnd(flags, trailers) {
    const told = flags | (this.flags & ALL_WRITTEN)
    if (this.isPromoted || (told & KEPT) !== KEPT || trailers !== '' || this.phase !== ANSWERED) {
      this.promote()
      super.onEnd(flags, trailers)
      return
    }
    this.isComplete = true
    if (this.isFlowing) this.#tell(this.chunk === null && !this.#isDue)
  }

  /** Has 'data' and 'end' told from the next tick on. */
  flow() {
    if (this.isFlowing || this.phase >= ENDED) return
    this.isFlowing = true
    this.#tell(false)
  }

  /** @param {boolean} end whether 'end' is all there is to tell */
  #tell(end) {
    this.#isEndDue = end
    if (this.#isDue) return
    this.#isDue = true
    enqueue(this)
  }

  /** Its tick. */
  tell() {
    this.#isDue = false
    if (this.phase === ENDED) return this.#close()
    if (this.isPromoted) return
    if (this.#isEndDue) return this.#finish()
    const { chunk } = this
    if (chunk !== null) {
      this.chunk = null
      try {
        tellChunk(this, chunk, false)
      } finally {
        // Promoted on the way, it has been told.
        if (this.isComplete && !this.isPromoted) this.#tell(true)
      }
    } else if (this.isComplete) {
      this.#tell(true)
    }
  }

  /** @param {boolean} ended whether the chunk that was told just now was the last */
  afterChunk(ended) {
    if (!ended) return
    if (!this.isPromoted) {
      this.isComplete = true
      this.#tell(true)
    } else {
      arrive(this, this.res, null, true)
    }
  }

  /** The response is over: its connection is free before the user hears of the end. */
  #finish() {
    const { agent, res } = this
    const connection = /** @type {Connection} */ (this.connection)
    const { socket } = connection
    if (socket.listenerCount('free') > 0 || agent.listenerCount('free') > 1) {
      this.promote()
      return
    }
    this.phase = ENDED
    socket.timeout = agent.options.timeout || 0
    if (socket._httpMessage === this.req) socket._httpMessage = null
    this.checkIn(this.template.head)
    this.#isDue = true
    enqueue(this)
    try {
      res.emit('end')
    } finally {
      this.isEndTold = true
      if (this.isPromoted) res._readableState.destroyed = true
    }
  }

  #close() {
    this.phase = CLOSED
    const { req, res } = this
    const connection = /** @type {Connection} */ (this.connection)
    if (connection.isClosed) connection.socket.destroy()
    if (this.isPromoted) {
      req._closed = true
      res._readableState.closed = true
      res._readableState.closeEmitted = true
    }
    const isLast = connection.isClosed && endsInRuntime(this.template.method, this.headers)
    try {
      if (!isLast) req.emit('close')
    } finally {
      res.emit('close')
    }
    if (isLast) req.emit('close')
  }

  resume() {
    if (this.phase >= ENDED) return
    this.promote()
    super.resume()
  }

  /** Bytes that do not count as sent yet. */
  get pending() {
    this.promote()
    return super.pending
  }

  // What the fast request and response show.

  get version() {
    return httpVersion(this.flags)
  }

  get headers() {
    if (this.shownHeaders === null) {
      /** @type {Record<string, any>} */
      const headers = {}
      const { lines } = this.head
      for (let at = 0; at < lines.length; at += 2) addHeaderLine.call(notJoined, lines[at], lines[at + 1], headers)
      this.shownHeaders = headers
    }
    return this.shownHeaders
  }

  get rawHeaders() {
    this.shownRawHeaders ??= this.head.rawHeaders()
    return this.shownRawHeaders
  }

  get socket() {
    return this.phase >= SENT ? /** @type {Connection} */ (this.connection).socket : null
  }
}

/** What happens to few requests, and what is done to few sockets: more than is carried without the runtime's request. */
const RARE = /** @type {const} */ ([
  'cork',
  'endConnection',
  'failUnserved',
  'hold',
  'onDestroyed',
  'onError',
  'onInformation',
  'onParted',
  'onTimeout',
  'setRef',
  'uncork',
  'write',
])
for (const name of RARE) {
  const carry = /** @type {(...values: any[]) => any} */ (ClientExchange.prototype[name])
  Object.defineProperty(FastExchange.prototype, name, {
    /** @this {FastExchange} @param {any[]} values */
    value(...values) {
      this.promote()
      return carry.apply(this, values)
    },
    writable: true,
    configurable: true,
  })
}

/** @param {any} req */
function hasEarlyListeners(req) {
  return req.listenerCount('socket') > 0 || req.listenerCount('finish') > 0 || req.listenerCount('prefinish') > 0
}

/**
 * @param {FastExchange} exchange
 * @param {Buffer | null} body
 * @param {boolean} ended
 */
function answer(exchange, body, ended) {
  const { req, res } = exchange
  exchange.noteHint(exchange.head.hint())
  try {
    if (!req.emit('response', res) && !exchange.isPromoted) {
      exchange.isDumped = true
      exchange.flow()
    }
  } finally {
    // A listener that throws must not cost the request its body or its end.
    if (exchange.isPromoted) {
      arrive(exchange, res, body, ended)
    } else {
      exchange.chunk = body
      exchange.isComplete = ended
    }
  }
}

/**
 * @param {FastExchange} exchange
 * @param {Buffer} chunk
 * @param {boolean} ended whether the response ends with it
 */
function tellChunk(exchange, chunk, ended) {
  exchange.received(chunk.length, true)
  try {
    if (!exchange.isDumped) exchange.res.emit('data', chunk)
  } finally {
    exchange.afterChunk(ended)
  }
}

module.exports = { FastExchange }
