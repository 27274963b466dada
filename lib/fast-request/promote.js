'use strict'

// Makes a fast request and its response the runtime's own, in whatever state they are: the runtime's constructors run on
// the same objects, listeners stay, and client-request/exchange.js goes on with the exchange. What was told is not told again.

const { EventEmitter } = require('node:events')

const { startSoon } = require('../agent/agent.js')
const { ALL_WRITTEN } = require('../bridge/layout.js')
const { ClientRequest, IncomingMessage } = require('../runtime/genuine.js')
const { arrive, onResponseEnd, readHead } = require('../client-request/response.js')
const { lease } = require('../exchange/lease.js')
const { quietly } = require('../runtime/probes.js')
const { kExchange } = require('../socket/socket.js')
const { ANSWERED, CLOSED, ENDED, MADE, WAITING } = require('./state.js')
const { kFast } = require('./symbols.js')

/** @typedef {import('./exchange.js').FastExchange} FastExchange */

const { removeListener } = EventEmitter.prototype

/** @param {FastExchange} fast */
function promote(fast) {
  const { agent, phase, req } = fast
  const options = construct(fast)
  if (phase === MADE) {
    if (fast.answer < 0) {
      agent.addRequest(req, options)
    } else {
      attach(fast, options)
      lease(fast, false, startSoon, fast.answer)
    }
    if (fast.isEnded) req.end(fast.body)
    return
  }
  if (phase === WAITING) {
    attach(fast, options)
    fast.wait?.watch()
    req.end(fast.body)
    return
  }
  const { socket } = /** @type {import('../exchange/connection.js').Connection} */ (fast.connection)
  if (phase < ENDED) attach(fast, options)
  const { isSent } = fast
  const callbacks = pretendSent(req, fast.body, isSent || phase >= ENDED)
  req.socket = socket
  req.reusedSocket = !fast.hasWaited
  if (phase < ENDED) fast.resumeSent(fast.sent, (fast.flags & ALL_WRITTEN) !== 0)
  if (callbacks.length > 0) fast.outgoing.awaitSent(callbacks)
  if (phase === ANSWERED) announceAgain(fast)
  else if (phase >= ENDED) finishAgain(fast)
  else if (fast.res !== null) req.res = fast.res
}

/**
 * @param {FastExchange} fast
 * @param {Record<string, any>} options as addRequest() got them
 */
function attach(fast, options) {
  fast.options = options
  fast.attach(fast.req)
}

/**
 * The runtime's constructor, for what the user asked for.
 * @param {FastExchange} fast
 * @returns {Record<string, any>} what it asks the agent for, which does not know yet
 */
function construct({ agent, template, req }) {
  const { headers } = template.options
  const options = { ...template.options, headers: headers && { ...headers }, agent: standInOf(agent) }
  req[kFast] = undefined
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
 * Brings a new request to where it is after end() and its flush. Its bytes go nowhere: they went out before.
 * @param {any} req
 * @param {string | Uint8Array | undefined} body
 * @param {boolean} isSent whether all of them count as sent
 * @returns {((error?: Error) => void)[]} what is due when they do
 */
function pretendSent(req, body, isSent) {
  req.end(body)
  const written = req.outputData
  req.outputData = []
  req.outputSize = 0
  if (!isSent) return written.map(({ callback }) => callback).filter((callback) => typeof callback === 'function')
  // 'finish' was due long ago, and nobody listened.
  const listeners = req._events
  req._events = Object.create(null)
  for (const { callback } of written) callback?.()
  req._events = listeners
  return []
}

/**
 * The response that its user has already.
 * @param {FastExchange} fast
 * @param {any} socket
 */
function remake(fast, socket) {
  const { flags, head, req, res, shownHeaders, shownRawHeaders, status } = fast
  res[kFast] = undefined
  keepingDomain(res, () => IncomingMessage.call(res, socket))
  readHead(req, status, flags, head, res)
  if (shownRawHeaders !== null) res.rawHeaders = shownRawHeaders
  if (shownHeaders !== null) res.headers = shownHeaders
  req.res = res
  res.req = req
  Object.setPrototypeOf(res, IncomingMessage.prototype)
  return res
}

/** @param {FastExchange} fast */
function announceAgain(fast) {
  const { chunk, isComplete, isDumped, isFlowing } = fast
  const res = remake(fast, /** @type {import('../exchange/connection.js').Connection} */ (fast.connection).socket)
  res.prependListener('end', onResponseEnd)
  // The stream learns of its listeners by on().
  for (const listener of res.rawListeners('data')) {
    removeListener.call(res, 'data', listener)
    res.on('data', listener)
  }
  if (isDumped) res._dump()
  else if (isFlowing) res.resume()
  fast.chunk = null
  arrive(fast, res, chunk, isComplete)
}

/** @param {FastExchange} fast */
function finishAgain(fast) {
  const { connection, phase, req } = fast
  const res = remake(fast, /** @type {import('../exchange/connection.js').Connection} */ (connection).socket)
  res.complete = true
  res.socket = null
  const state = res._readableState
  state.flowing = true
  state.ended = true
  state.endEmitted = true
  state.destroyed = fast.isEndTold
  state.closed = phase === CLOSED
  state.closeEmitted = phase === CLOSED
  req[kExchange] = fast
  req._ended = true
  req.destroyed = true
  req._closed = phase === CLOSED
}

module.exports = { promote }
