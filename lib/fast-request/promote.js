'use strict'

// Makes a lean request and its response the runtime's own, in whatever state they are: the runtime's constructors run on
// the same objects, listeners stay, and client-request/exchange.js goes on with the exchange. What was told is not told again.

const { EventEmitter } = require('node:events')
const http = require('node:http')

const { startSoon } = require('../agent/agent.js')
const { ClientExchange } = require('../client-request/exchange.js')
const { ClientRequest } = require('../runtime/genuine.js')
const { arrive, onResponseEnd, readHead } = require('../client-request/response.js')
const { lease } = require('../exchange/lease.js')
const { quietly } = require('../runtime/probes.js')
const { kExchange } = require('../socket/socket.js')
const { ANSWERED, CLOSED, ENDED, MADE } = require('./state.js')
const { kLean } = require('./symbols.js')

/** @typedef {import('./exchange.js').LeanExchange} LeanExchange */
/** @typedef {{ exchange: ClientExchange | null }} Whole `exchange`: what carries it, unless it is over */

const { IncomingMessage } = /** @type {any} */ (http)
const { removeListener } = EventEmitter.prototype

/**
 * @param {LeanExchange} lean
 * @param {Whole} whole
 */
function makeWhole(lean, whole) {
  const { agent, phase, req } = lean
  const options = construct(lean)
  if (phase === MADE) {
    if (lean.answer < 0) {
      agent.addRequest(req, options)
    } else {
      whole.exchange = takeOver(lean, options)
      lease(whole.exchange, false, startSoon, lean.answer)
    }
    if (lean.isEnded) req.end(lean.body)
    return
  }
  const { view } = /** @type {import('../exchange/connection.js').Connection} */ (lean.connection)
  if (phase < ENDED) whole.exchange = takeOver(lean, options)
  pretendSent(req, lean.body)
  req.socket = view
  req.reusedSocket = true
  if (whole.exchange !== null) whole.exchange.resumeSent(lean)
  if (phase === ANSWERED) announceAgain(lean, /** @type {ClientExchange} */ (whole.exchange))
  else if (phase >= ENDED) finishAgain(lean)
  else if (lean.res !== null) req.res = lean.res
}

/**
 * The runtime's constructor, for the order that the user gave.
 * @param {LeanExchange} lean
 * @returns {Record<string, any>} what it asks the agent for, which does not know yet
 */
function construct({ agent, order, req }) {
  const { headers } = order.options
  const options = { ...order.options, headers: headers && { ...headers }, agent: standInOf(agent) }
  req[kLean] = undefined
  // Engines up to V8 12 give each object a shape of its own that gets a property when its prototype was set.
  req[kExchange] = undefined
  try {
    keepingDomain(req, () => quietly(() => ClientRequest.call(req, options)))
  } finally {
    Object.setPrototypeOf(req, ClientRequest.prototype)
  }
  req.agent = agent
  return asked
}

/** What a constructor has asked a stand-in for. @type {Record<string, any>} */
let asked

/** @type {WeakMap<object, object>} */
const standIns = new WeakMap()

/**
 * An agent in all but what a new request asks it for.
 * @param {any} agent
 */
function standInOf(agent) {
  let standIn = standIns.get(agent)
  if (standIn === undefined) {
    standIn = Object.create(agent, { addRequest: { value: note } })
    standIns.set(agent, /** @type {object} */ (standIn))
  }
  return standIn
}

/**
 * @param {any} _req
 * @param {Record<string, any>} options
 */
function note(_req, options) {
  asked = options
}

/**
 * The constructors of emitters put an object into the domain that runs now, whichever it was put into before.
 * @param {any} emitter
 * @param {() => void} remake
 */
function keepingDomain(emitter, remake) {
  const domain = Object.getOwnPropertyDescriptor(emitter, 'domain')
  remake()
  if (domain !== undefined) Object.defineProperty(emitter, 'domain', domain)
}

/**
 * @param {LeanExchange} lean
 * @param {Record<string, any>} options as addRequest() got them
 */
function takeOver(lean, options) {
  const { agent, connection, id, origin, port, req } = lean
  const exchange = new ClientExchange(req, agent, origin, options, lean)
  port.replace(id, exchange)
  exchange.isPlain = true
  exchange.foundBy = lean.foundBy
  exchange.foundMore = lean.foundMore
  exchange.useCount = lean.useCount
  exchange.replaced = lean.replaced
  exchange.isResent = lean.isResent
  if (connection !== null) {
    exchange.connection = connection
    connection.exchange = exchange
  }
  return exchange
}

/**
 * Brings a new request to where it is after end() and its flush. Its bytes go nowhere: they went out before.
 * @param {any} req
 * @param {string | Uint8Array | undefined} body
 */
function pretendSent(req, body) {
  req.end(body)
  const written = req.outputData
  req.outputData = []
  req.outputSize = 0
  // 'finish' was due long ago, and nobody listened.
  const listeners = req._events
  req._events = Object.create(null)
  for (const { callback } of written) callback?.()
  req._events = listeners
}

/**
 * The response that its user has already.
 * @param {LeanExchange} lean
 * @param {any} socket
 */
function remake(lean, socket) {
  const { flags, head, req, res, shownHeaders, shownRawHeaders, status } = lean
  res[kLean] = undefined
  keepingDomain(res, () => IncomingMessage.call(res, socket))
  readHead(req, status, flags, head, res)
  if (shownRawHeaders !== null) res.rawHeaders = shownRawHeaders
  if (shownHeaders !== null) res.headers = shownHeaders
  req.res = res
  res.req = req
  Object.setPrototypeOf(res, IncomingMessage.prototype)
  return res
}

/**
 * @param {LeanExchange} lean
 * @param {ClientExchange} exchange
 */
function announceAgain(lean, exchange) {
  const { chunk, isComplete, isDumped, isFlowing } = lean
  const res = remake(lean, /** @type {import('../exchange/connection.js').Connection} */ (lean.connection).view)
  res.prependListener('end', onResponseEnd)
  // The stream learns of its listeners by on().
  for (const listener of res.rawListeners('data')) {
    removeListener.call(res, 'data', listener)
    res.on('data', listener)
  }
  if (isDumped) res._dump()
  else if (isFlowing) res.resume()
  lean.chunk = null
  arrive(exchange, res, chunk, isComplete)
}

/** @param {LeanExchange} lean */
function finishAgain(lean) {
  const { connection, phase, req } = lean
  const res = remake(lean, /** @type {import('../exchange/connection.js').Connection} */ (connection).view)
  res.complete = true
  res.socket = null
  const state = res._readableState
  state.flowing = true
  state.ended = true
  state.endEmitted = true
  state.destroyed = lean.isEndTold
  state.closed = phase === CLOSED
  state.closeEmitted = phase === CLOSED
  req[kExchange] = lean
  req._ended = true
  req.destroyed = true
  req._closed = phase === CLOSED
}

module.exports = { makeWhole }
