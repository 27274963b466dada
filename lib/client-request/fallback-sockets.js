'use strict'

// The runtime's sockets of an agent, for requests that fall back to them: made, assigned, idle, used again, given up; within the
// same limits and shown in the same `sockets`, `freeSockets` and `requests`.
//
// The engine's pool counts a slot for each real socket from before it is created until it is closed or taken away from
// the agent; a slot is released exactly once.

const net = require('node:net')

const { now } = require('../runtime/captured.js')
const native = require('../bridge/native.js')
const { judgedLookup, refusalOf, refusalOfPath } = require('../common/addresses.js')
const { merge } = require('../common/options/merge.js')
const { remove } = require('../exchange/queue.js')
const { connectGeneration } = require('../runtime/genuine.js')
const { dns } = require('../runtime/late.js')
const { lazy } = require('../runtime/lazy.js')
const { EngineSocket } = require('../socket/socket.js')

/** @typedef {import('./exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('../agent/origins.js').Origins} Origins */
/** @typedef {import('node:net').Socket} Socket */
/** @typedef {Record<string, any>} Options */

const deadlines = lazy(() => require('./fallback-deadlines.js'))

/** Why requests have one of them. @type {WeakMap<object, string>} */
const fallbackRequests = new WeakMap()

/**
 * @param {any} agent
 * @param {Origin} origin
 * @returns {Socket | undefined} an idle socket that is still what it was when it became idle
 */
function takeIdle(agent, origin) {
  for (;;) {
    const socket = agent.scheduling === 'fifo' ? origin.idleSockets.shift() : origin.idleSockets.pop()
    if (socket === undefined) return undefined
    origin.stale = true
    const state = idleStates.get(socket)
    idleStates.delete(socket)
    deadlines().endIdle(socket)
    socket.removeListener('error', onIdleError)
    // One of another generation has passed by whoever connects sockets now, or belongs to whoever did then.
    const isCurrent = generations.get(socket) === connectGeneration()
    if (isCurrent && !socket.destroyed && socket.writable && socket.bytesRead === state) return socket
    socket.destroy()
  }
}

/** How sockets were connected when each of these was. @type {WeakMap<Socket, number>} */
const generations = new WeakMap()

/** How many bytes an idle socket had received: more mean an answer to no request. @type {WeakMap<Socket, number>} */
const idleStates = new WeakMap()

/** @this {Socket} */
function onIdleError() {
  this.destroy()
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Origin} origin
 * @param {Socket} socket an idle one
 */
function use(agent, req, origin, socket) {
  agent.reuseSocket(socket, req)
  origin.busySockets.add(socket)
  origin.stale = true
  assign(agent, req, socket, origin)
}

/**
 * @param {any} agent
 * @param {any} req
 * @param {Socket} socket
 * @param {Origin} origin
 */
function assign(agent, req, socket, origin) {
  deadlines().watch(agent, origin, req, socket)
  req.onSocket(socket)
  if (req.timeout !== undefined && req.timeout !== (agent.options.timeout || 0)) socket.setTimeout(req.timeout)
}

/**
 * Sees to it that a socket is connected to nothing that its agent refuses.
 * @param {any} agent
 * @param {Options} options those it is made with
 * @returns {Error | undefined} why there is none to be made
 */
function judge(agent, options) {
  const { allowAddress, host = 'localhost', socketPath } = options
  if (allowAddress === undefined) return undefined
  if (socketPath) return refusalOfPath(socketPath)
  if (net.isIP(host) !== 0) return refusalOf(allowAddress, host, host)
  const lookup = judgedLookup(allowAddress, options.lookup || dns().lookup)
  options.lookup = lookup
  // The runtime's createSocket() looks there again.
  if ('lookup' in agent.options) agent.options.lookup = lookup
  return undefined
}

/**
 * Creates the socket that the exchange got a slot for.
 * @param {ClientExchange} exchange
 * @param {number} spentMs
 */
function create(exchange, spentMs) {
  const { agent, origin, req } = exchange
  let held = true
  let creating = true
  const created = () => {
    if (creating) origin.creating -= 1
    creating = false
  }
  const release = () => {
    created()
    if (!held) return
    held = false
    native.releaseFallback(origin.origins.id, origin.key)
    origin.origins.port.drainSoon()
  }
  let isLate = false
  /** @type {Socket | undefined} */
  let opened
  origin.creating += 1
  const opening = deadlines().awaitOpen(agent, origin, now() - spentMs, (error) => {
    isLate = true
    if (opened !== undefined) return opened.destroy(error)
    release()
    origin.origins.forget(origin)
    req.onSocket(undefined, error)
  })
  const onCreated = (/** @type {any} */ error, /** @type {any} */ socket) => {
    if (isLate) {
      // Its request has heard already that there is none.
      socket?.destroy()
      return
    }
    if (error) {
      opening?.end()
      release()
      origin.origins.forget(origin)
      // A proxy's refusal is for the request alone; the runtime's onSocket() keeps quiet about it.
      if (error.code === 'ERR_PROXY_TUNNEL') {
        if (error.proxyTunnelTimeout) req.emit('timeout')
        req.emit('error', error)
      }
      req.onSocket(socket, error)
      return
    }
    opened = socket
    opening?.sees(socket)
    track(agent, origin, socket, req, release)
    created()
    assign(agent, req, socket, origin)
  }
  try {
    const options = merge(agent.options, exchange.options)
    const refusal = judge(agent, options)
    if (refusal === undefined) agent.createSocket(req, options, onCreated)
    else onCreated(refusal, undefined)
  } catch (error) {
    opening?.end()
    release()
    origin.origins.forget(origin)
    throw error
  }
}

/**
 * @param {any} agent
 * @param {Origin} origin
 * @param {Socket} socket
 * @param {any} req the first that it is for
 * @param {() => void} release
 */
function track(agent, origin, socket, req, release) {
  generations.set(socket, connectGeneration())
  deadlines().beginLife(agent, socket)
  origin.busySockets.add(socket)
  origin.stale = true
  origin.onSocket(socket, fallbackRequests.get(req))
  const gone = () => {
    socket.removeListener('close', gone)
    socket.removeListener('agentRemove', gone)
    origin.busySockets.delete(socket)
    remove(origin.idleSockets, socket)
    deadlines().endIdle(socket)
    origin.stale = true
    release()
    origin.origins.forget(origin)
  }
  socket.on('close', gone)
  socket.on('agentRemove', gone)
  forgetters.set(socket, gone)
}

/** How an agent forgets each of its real sockets. @type {WeakMap<Socket, () => void>} */
const forgetters = new WeakMap()

/**
 * The agent's own 'free' listener.
 * @param {any} agent
 * @param {Origins} origins
 * @param {any} socket
 * @param {Options} options
 */
function onFree(agent, origins, socket, options) {
  if (socket instanceof EngineSocket) return
  const origin = origins.get(agent.getName(options))
  const restMs = deadlines().restOf(agent, socket)
  if (origin === undefined || !socket.writable || restMs === 0) {
    socket.destroy()
    return
  }
  const first = firstOf(origin.queue)
  if (first?.isFallback && first.wait !== null && native.cancel(origins.port.id, first.id)) {
    first.wait.end()
    first.settle()
    first.resource.runInAsyncScope(assign, null, agent, first.req, socket, origin)
    return
  }
  const req = socket._httpMessage
  const wanted = req?.shouldKeepAlive && agent.keepAlive && origin.idleSockets.length < agent.maxFreeSockets
  if (!wanted || !agent.keepSocketAlive(socket) || !native.fallbackIdle(origins.id, origin.key, true)) {
    socket.destroy()
    return
  }
  socket._httpMessage = null
  origin.busySockets.delete(socket)
  origin.idleSockets.push(socket)
  origin.stale = true
  idleStates.set(socket, socket.bytesRead)
  deadlines().beginIdle(socket, restMs)
  if (origins.onQuiet !== null) origins.noteQuiet()
  socket.on('error', onIdleError)
}

/** @param {import('../common/line.js').Line<import('../exchange/exchange.js').Exchange>} queue */
function firstOf(queue) {
  for (const exchange of queue) if (!exchange.wait?.isHeld) return exchange
  return undefined
}

/**
 * The agent's removeSocket(): a real socket is forgotten, and its slot is free for whoever waits. Those of the engine leave with
 * their connections.
 * @this {any}
 * @param {any} socket
 * @param {Options} _options
 */
function removeSocket(socket, _options) {
  forgetters.get(socket)?.()
}

module.exports = { create, fallbackRequests, onFree, removeSocket, takeIdle, use }
