'use strict'

// From the engine's records to the runtime's IncomingMessage, and from its end to the connection's check-in.
//
// The check-in happens in our own first 'end' listener, before the user's: when they run, the connection is idle or
// serves the next waiter already (invariant I3).

const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')

const { nextTick } = require('../runtime/captured.js')
const { KEEP_ALIVE, MESSAGE_END } = require('../bridge/layout.js')
const { httpVersion } = require('../bridge/response-heads.js')
const { lazy } = require('../runtime/lazy.js')
const { emitRequestError } = require('../common/errors.js')
const {
  endMeasurement,
  ignoresAgents,
  isMeasured,
  kDetachAbortSignal,
  pausesAtSwitching,
} = require('../runtime/probes.js')
const { kExchange, maySpeakHttp2 } = require('../socket/socket.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../exchange/connection.js').Connection} Connection */

const errors = lazy(() => require('../exchange/errors.js'))

/** @type {new (socket: any) => any} */
const IncomingMessage = ignoresAgents ? require('../bun-legacy/response.js').LegacyResponse : http.IncomingMessage

const responseFinishes = diagnostics.channel('http.client.response.finish')

/** The runtime's own limit of header lines (names and values) where the request sets none. */
const MOST_HEADER_LINES = 2000
const CONTINUE = 100
const SWITCHING_PROTOCOLS = 101
const NO_CONTENT = 204
const NOT_MODIFIED = 304

/**
 * @param {any} req
 * @param {number} status
 * @param {number} flags
 * @param {import('../bridge/response-heads.js').Head} head
 * @param {any} res a new one
 */
function readHead(req, status, flags, head, res) {
  const lines = head.rawHeaders()
  res.statusMessage = head.reason
  res.statusCode = status
  const version = httpVersion(flags)
  res.httpVersionMajor = Number(version[0])
  res.httpVersionMinor = Number(version[2])
  res.httpVersion = version
  res.joinDuplicateHeaders = req.joinDuplicateHeaders
  res.upgrade = false
  const most = typeof req.maxHeadersCount === 'number' ? req.maxHeadersCount * 2 : MOST_HEADER_LINES
  res._addHeaderLines(lines, most > 0 ? Math.min(lines.length, most) : lines.length)
  return res
}

/**
 * @param {ClientExchange} exchange
 * @param {number} status
 * @param {number} flags
 * @param {import('../bridge/response-heads.js').Head} head
 * @param {Buffer | null} body
 */
function deliverResponse(exchange, status, flags, head, body) {
  exchange.noteWritten(flags)
  if (exchange.isSettled) return
  const { socket } = /** @type {Connection} */ (exchange.connection)
  const res = readHead(exchange.req, status, flags, head, new IncomingMessage(/** @type {any} */ (socket)))
  try {
    exchange.noteHint(head.hint())
    announce(exchange, res, flags)
  } finally {
    // A listener that throws must not cost the request its body or its end.
    arrive(exchange, res, body, (flags & MESSAGE_END) !== 0)
  }
}

/**
 * What came with a response's head, when its user has heard of the head.
 * @param {ClientExchange} exchange
 * @param {any} res
 * @param {Buffer | null} body
 * @param {boolean} ended
 */
function arrive(exchange, res, body, ended) {
  if (!exchange.isSettled) {
    if (body !== null) push(exchange, res, body)
    if (ended && !exchange.isSettled) finish(exchange, res)
  } else if (exchange.isAborted) {
    goOn(res, body, ended)
  }
}

/**
 * What was here of a response when its user destroyed it: as in the runtime, whose parser goes on to the end of what it has.
 * @param {any} res
 * @param {Buffer | null} chunk
 * @param {boolean} ended
 */
function goOn(res, chunk, ended) {
  if (res.complete) return
  if (chunk !== null && !res._dumped) res.push(chunk)
  if (ended) complete(res)
}

/**
 * A 1xx response: not the final one.
 * @param {ClientExchange} exchange
 * @param {number} status
 * @param {number} flags
 * @param {import('../bridge/response-heads.js').Head} head
 */
function inform(exchange, status, flags, head) {
  exchange.noteWritten(flags)
  if (exchange.isSettled) return
  const { req } = exchange
  const { socket } = /** @type {Connection} */ (exchange.connection)
  const res = readHead(req, status, flags, head, new IncomingMessage(/** @type {any} */ (socket)))
  if (res.statusCode === CONTINUE) req.emit('continue')
  const { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, headers, rawHeaders } = res
  const information = {
    statusCode,
    statusMessage,
    httpVersion,
    httpVersionMajor,
    httpVersionMinor,
    headers,
    rawHeaders,
  }
  req.emit('information', information)
}

/**
 * @param {ClientExchange} exchange
 * @param {any} res
 * @param {number} flags
 */
function announce(exchange, res, flags) {
  const { req } = exchange
  if (req.shouldKeepAlive && (flags & KEEP_ALIVE) === 0) req.shouldKeepAlive = false
  if (isMeasured(req)) endMeasurement(req, res)
  if (responseFinishes.hasSubscribers) responseFinishes.publish({ request: req, response: res })
  req.res = res
  res.req = req
  // The first 'end' listener: the check-in comes before whatever the user does then.
  res.on('end', onResponseEnd)
  if (req.aborted || !req.emit('response', res)) res._dump()
  if (res.statusCode === NOT_MODIFIED && req.method !== 'HEAD') res.complete = true
  if (pausesAtSwitching && res.statusCode === SWITCHING_PROTOCOLS) pauseAtSwitching(exchange, res)
}

/**
 * Deno's parser stops at the head of a 101 that nobody asked for: an empty response, and an error of the request.
 * @param {ClientExchange} exchange
 * @param {any} res
 */
function pauseAtSwitching(exchange, res) {
  if (exchange.isSettled) return
  const { socket } = /** @type {Connection} */ (exchange.connection)
  complete(res)
  socket.destroy()
  socket._hadError = true
  emitRequestError(
    exchange.req,
    errors().parseError('HPE_PAUSED_UPGRADE', 'Pause on CONNECT/Upgrade', 0, Buffer.alloc(0)),
  )
}

/**
 * @param {ClientExchange} exchange
 * @param {any} res
 * @param {Buffer} chunk
 */
function push(exchange, res, chunk) {
  exchange.received(chunk.length, res._dumped || res.push(chunk))
}

/** @param {any} res */
function complete(res) {
  res.complete = true
  res.push(null)
}

/**
 * @param {ClientExchange} exchange
 * @param {number} flags
 * @param {Buffer} chunk
 */
function deliverBody(exchange, flags, chunk) {
  const { res } = exchange.req
  if (res === null) return
  const ended = (flags & MESSAGE_END) !== 0
  if (exchange.isSettled) {
    exchange.atHand -= chunk.length
    if (exchange.atHand >= 0) goOn(res, chunk, ended)
    return
  }
  try {
    push(exchange, res, chunk)
  } finally {
    if (ended && !exchange.isSettled) finish(exchange, res)
  }
}

/**
 * @param {ClientExchange} exchange
 * @param {number} flags
 * @param {string} trailers
 */
function completeResponse(exchange, flags, trailers) {
  exchange.noteWritten(flags)
  const { req } = exchange
  const { res } = req
  if (res === null || res.complete || (exchange.isSettled && exchange.atHand < 0)) return
  if ((flags & KEEP_ALIVE) === 0) req.shouldKeepAlive = false
  res.complete = true
  if (trailers !== '') {
    const lines = trailers.split('\0')
    res._addHeaderLines(lines, lines.length)
  }
  finish(exchange, res)
}

/**
 * @param {ClientExchange} exchange
 * @param {any} res
 */
function finish(exchange, res) {
  complete(res)
  if (!exchange.isSettled) exchange.onComplete()
}

/** @this {any} a response whose user has read all of it */
function onResponseEnd() {
  const { req } = this
  /** @type {ClientExchange} */
  const exchange = req[kExchange]
  if (kDetachAbortSignal !== undefined) this[kDetachAbortSignal]()
  req._ended = true
  exchange.isResponseEnded = true
  if (exchange.isSettled) {
    // Destroyed when all of it was here: the request closes with the response, not with its connection.
    const isKept = req.shouldKeepAlive && !endsInRuntime(req.method, this.headers)
    if (exchange.isAborted && req.writableFinished && isKept && !this.aborted && !req._closed)
      nextTick(emitClose, exchange)
    return
  }
  if (!req.shouldKeepAlive) closeConnection(exchange)
  else if (this.aborted) return
  else if (req.writableFinished) keepConnection(exchange)
  // Whoever puts off the callbacks of writes, as wrappers of socket.write() do, puts off 'finish' as well.
  else req.once('finish', onLateFinish)
}

/** @this {any} a request whose response was over before */
function onLateFinish() {
  this[kExchange]?.afterSending()
}

/**
 * The exchange is over and its connection is not to be used again: the request closes with it.
 * @param {ClientExchange} exchange
 */
function closeConnection(exchange) {
  const connection = /** @type {Connection} */ (exchange.connection)
  exchange.retire()
  if (isDelimitedByClose(exchange.req)) connection.socket.emit('end')
  connection.socket.destroy()
}

/**
 * Whether the peer's end of the connection was the end of the body: never over HTTP/2, which says itself where bodies end. Some
 * gateways name that version over HTTP/1.1.
 * @param {any} req
 */
function isDelimitedByClose({ method, res, socket }) {
  const { headers, httpVersionMajor, statusCode } = res
  if (httpVersionMajor === 2 && maySpeakHttp2(socket)) return false
  if (method === 'HEAD' || statusCode === NO_CONTENT || statusCode === NOT_MODIFIED) return false
  return headers['content-length'] === undefined && !/chunked/i.test(headers['transfer-encoding'] ?? '')
}

/**
 * Whether the runtime ends the connection of a response to HEAD, which says nothing of its length. Ours are used again unless more
 * came than the response: only then it shows.
 * @param {string} method
 * @param {Record<string, any>} headers
 */
function endsInRuntime(method, headers) {
  if (method !== 'HEAD' || headers['content-length'] !== undefined) return false
  return !/chunked/i.test(headers['transfer-encoding'] ?? '')
}

/**
 * The exchange is over for its user, who hears so in the next tick; its connection is free for the next one as soon as
 * the request's last byte is out.
 * @param {ClientExchange} exchange
 */
function keepConnection(exchange) {
  const { req } = exchange
  const connection = /** @type {Connection} */ (exchange.connection)
  const { socket } = connection
  if (req.timeoutCb) {
    socket.removeListener('timeout', req.timeoutCb)
    req.timeoutCb = null
  }
  socket.timeout = exchange.agent.options.timeout || 0
  if (exchange.outgoing.isDone) {
    exchange.checkIn()
  } else {
    exchange.isCheckInDue = true
    exchange.outgoing.demandAcknowledgement()
  }
  req.destroyed = true
  // The request closes with its connection.
  if (connection.isClosed && endsInRuntime(req.method, req.res.headers)) {
    req.shouldKeepAlive = false
    socket.destroy()
    return
  }
  nextTick(emitFree, exchange)
  // Destroying the response from now on is not to hurt the connection.
  if (req.res) req.res.socket = null
}

/** @param {ClientExchange} exchange whose connection is destroyed */
function emitClose({ connection, req }) {
  if (req._closed) return
  const { socket } = /** @type {Connection} */ (connection)
  if (socket._httpMessage === req) socket._httpMessage = null
  req._closed = true
  req.emit('close')
}

/** @param {ClientExchange} exchange */
function emitFree(exchange) {
  const { req, agent } = exchange
  const connection = /** @type {Connection} */ (exchange.connection)
  const { socket } = connection
  req._closed = true
  try {
    req.emit('close')
    if (socket.listenerCount('free') > 0) socket.emit('free')
    if (agent.listenerCount('free') > 1) agent.emit('free', socket, exchange.origin.options)
  } finally {
    if (socket._httpMessage === req) socket._httpMessage = null
    if (connection.isClosed) socket.destroy()
  }
}

module.exports = {
  arrive,
  complete,
  completeResponse,
  deliverBody,
  deliverResponse,
  endsInRuntime,
  finish,
  inform,
  isDelimitedByClose,
  keepConnection,
  MOST_HEADER_LINES,
  onResponseEnd,
  push,
  readHead,
}
