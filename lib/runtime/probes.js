'use strict'

// What differs between Node 18–26, Bun and Deno, found out once by looking rather than by version number.

const { AsyncResource } = require('node:async_hooks')
const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')
const net = require('node:net')
const { PerformanceObserver } = require('node:perf_hooks')

const { ClientRequest } = require('./genuine.js')
const { dns } = require('./late.js')
const { lazy } = require('./lazy.js')

/** @type {'bun' | 'deno' | 'node'} */
const runtimeName = process.versions.bun !== undefined ? 'bun' : process.versions.deno !== undefined ? 'deno' : 'node'
const isNode = runtimeName === 'node'
const isBun = runtimeName === 'bun'
const isDeno = runtimeName === 'deno'
const isWindows = process.platform === 'win32'
const isLinux = process.platform === 'linux'

const requestsCreated = diagnostics.channel('http.client.request.created')
const requestStarts = diagnostics.channel('http.client.request.start')
const responseFinishes = diagnostics.channel('http.client.response.finish')

/**
 * Runs `action` while nobody hears `channel`: probing is not a request.
 * @param {import('node:diagnostics_channel').Channel} channel
 * @param {() => void} action
 */
function unheard(channel, action) {
  Object.defineProperty(channel, 'publish', { value: () => {}, configurable: true })
  try {
    action()
  } finally {
    Reflect.deleteProperty(channel, 'publish')
  }
}

/**
 * Runs `action` while nobody hears that requests are created: what it creates is none.
 * @param {() => void} action
 */
function quietly(action) {
  if (requestsCreated.hasSubscribers) unheard(requestsCreated, action)
  else action()
}

/** Bun up to 1.3 has a pool of its own, whatever agent a request is given: its requests take no sockets. */
const ignoresAgents = typeof ClientRequest.prototype.onSocket !== 'function'

/** The symbol under which an outgoing message notes that someone waits for its 'drain'. */
function findNeedDrain() {
  const message = /** @type {any} */ (new http.OutgoingMessage())
  return Object.getOwnPropertySymbols(message).find((symbol) => {
    if (message[symbol] !== false) return false
    message[symbol] = true
    const found = message.writableNeedDrain === true
    message[symbol] = false
    return found
  })
}

/** The symbol under which a request keeps the error that it was destroyed with. */
function findDestroyError() {
  const request = Object.create(ClientRequest.prototype)
  const error = new Error('probe')
  request.destroy(error)
  return Object.getOwnPropertySymbols(request).find((symbol) => request[symbol] === error)
}

/** The symbol under which Node ≥ 24 keeps the callbacks of end(). */
function findEndCallbacks() {
  const message = new http.OutgoingMessage()
  return Object.getOwnPropertySymbols(message).find((symbol) => symbol.description === 'kEndCallbacks')
}

/** The method by which Node ≥ 24 takes a finished response's `signal` off its socket. */
function findDetachAbortSignal() {
  const symbols = Object.getOwnPropertySymbols(http.IncomingMessage.prototype)
  return symbols.find((symbol) => symbol.description === 'kDetachAbortSignal')
}

/** The symbol under which a request carries the start of its perf_hooks entry; undefined where there are none. */
function findStatistics() {
  if (ignoresAgents || !PerformanceObserver.supportedEntryTypes.includes('http')) return undefined
  const request = Object.create(ClientRequest.prototype)
  request.socket = {}
  const before = new Set(Object.getOwnPropertySymbols(request))
  const observer = new PerformanceObserver(() => {})
  observer.observe({ entryTypes: ['http'] })
  try {
    unheard(requestStarts, () => request._finish())
  } finally {
    observer.disconnect()
  }
  return Object.getOwnPropertySymbols(request).find((symbol) => !before.has(symbol))
}

// Where a runtime has none, requests are our own.
const kNeedDrain = findNeedDrain() ?? Symbol('keepwire.needDrain')
const kDestroyError = findDestroyError() ?? Symbol('keepwire.destroyError')
const kEndCallbacks = findEndCallbacks()
const kDetachAbortSignal = findDetachAbortSignal()
const statisticsKey = lazy(findStatistics)

/**
 * Node's own handler of a parsed response head, the only way to its performance entries and trace events. Taken from
 * the parser that a request gets with its socket: one parser, once per thread, returned at once.
 * @type {((this: object, res: object, keepAlive: boolean) => number) | undefined}
 */
let onIncoming

function captureOnIncoming() {
  if (onIncoming !== undefined) return
  onIncoming = () => 0
  const request = Object.assign(Object.create(ClientRequest.prototype), {
    agent: null,
    destroyed: false,
    maxHeaderSize: 0,
    outputData: [],
    insecureHTTPParser: false,
  })
  const socket = new net.Socket()
  socket.once('close', () => {})
  request.on('error', () => {})
  request.once('socket', () => {
    onIncoming = request.parser.onIncoming
    request.destroyed = true
    socket.destroy()
  })
  request.onSocket(socket)
}

/**
 * Whether a performance or trace-event consumer waits for this request's end.
 * @param {any} req
 */
function isMeasured(req) {
  const kStatistics = statisticsKey()
  return (kStatistics !== undefined && req[kStatistics] !== undefined) || typeof req._traceEventId === 'number'
}

/**
 * Ends the request's performance entry and trace event as the runtime does when the response head is there.
 * @param {any} req
 * @param {any} res
 */
function endMeasurement(req, res) {
  const nothing = () => {}
  const measured = {
    method: 'GET',
    path: req.path,
    shouldKeepAlive: true,
    res: null,
    _traceEventId: req._traceEventId,
    on: nothing,
    emit: () => true,
  }
  const kStatistics = statisticsKey()
  if (kStatistics !== undefined) Reflect.set(measured, kStatistics, req[kStatistics])
  const { statusCode, statusMessage, headers } = res
  const shown = { upgrade: false, statusCode, statusMessage, headers, on: nothing }
  const socket = { _httpMessage: measured, on: nothing }
  unheard(responseFinishes, () => onIncoming?.call({ socket }, shown, true))
  if (kStatistics !== undefined) req[kStatistics] = undefined
}

/** Whether a diagnostics channel of requests has subscribers. */
function hasListeners() {
  return requestsCreated.hasSubscribers || requestStarts.hasSubscribers || responseFinishes.hasSubscribers
}

/** A request that is nothing but what its _finish() leaves on it. */
const probe = Object.create(ClientRequest.prototype)

/** Whether requests that are sent now would be measured; none must listen to the channels. */
function measuresRequests() {
  const kStatistics = statisticsKey()
  if (kStatistics === undefined) return false
  probe.socket ??= {}
  probe._finish()
  const isMeasured = probe[kStatistics] !== undefined || typeof probe._traceEventId === 'number'
  probe[kStatistics] = undefined
  return isMeasured
}

/** Whether the process was started with Node's lenient parser for every message. */
function parsesLeniently() {
  const flag = '--insecure-http-parser'
  return process.execArgv.includes(flag) || (process.env.NODE_OPTIONS ?? '').split(/\s+/).includes(flag)
}

/** What the runtime's own global agent gets as `proxyEnv`: of flags the last one counts, and the command line before NODE_OPTIONS. */
function globalProxyEnv() {
  const flags = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv]
  const flag = flags.filter((one) => /^--(?:no-)?use-env-proxy$/.test(one)).pop()
  const isWanted = flag === undefined ? process.env.NODE_USE_ENV_PROXY === '1' : !flag.startsWith('--no-')
  return isNode && isWanted ? process.env : undefined
}

/** @type {boolean | undefined} */
let isProxyAware

/** Whether the runtime's own agents have an option `proxyEnv`, as Node's from 24.5 on. */
function heedsProxyEnv() {
  isProxyAware ??= isNode && hasProxyConfig()
  return isProxyAware
}

/** Looked up on an agent that connects to nothing. */
function hasProxyConfig() {
  const agent = new http.Agent(/** @type {any} */ ({ proxyEnv: { http_proxy: 'http://localhost' } }))
  return Object.getOwnPropertySymbols(agent).some(({ description }) => description === 'kProxyConfig')
}

/** @type {boolean | undefined} */
let isForgetful

/** Whether writes that were under way when their socket was destroyed are told as sent, as by Node up to 20. */
function forgetsCanceledWrites() {
  isForgetful ??= isNode && kEndCallbacks === undefined && takesCanceledForSent()
  return isForgetful
}

/** Looked up on a socket whose other side takes nothing. */
function takesCanceledForSent() {
  /** @type {any} */
  let write
  const take = (/** @type {any} */ under) => {
    write = under
    return 0
  }
  const nothing = () => 0
  const handle = {
    close: nothing,
    readStart: nothing,
    writeBuffer: take,
    writeLatin1String: take,
    writeUtf8String: take,
  }
  const socket = new net.Socket(/** @type {any} */ ({ handle }))
  socket.write('probe')
  socket.destroy()
  let isSent = false
  write.callback = (/** @type {unknown} */ error) => {
    isSent = !error
  }
  write.oncomplete(CANCELED)
  return isSent
}

/** What libuv says of a write that it did not finish. */
const CANCELED = -125

/**
 * Whether callbacks of writes under way are told within destroy(), and not when the socket closes.
 * @param {boolean} isSecure
 */
function tellsCanceledAtOnce(isSecure) {
  return isBun || (isDeno && !isSecure)
}

/** Whether the runtime's parser is llhttp before version 8, as Node 18's, which words some refusals in another way. */
const hasOlderParser = isNode && Number.parseInt(process.versions.llhttp ?? '', 10) < 8

/** Whether a 101 that nobody asked for ends its request with an error, after its response. */
const pausesAtSwitching = isDeno

/** Whether what an addon calls may run before ticks that were put off earlier. */
const wakesBeforeTicks = isDeno

/** Whether the engine may find libuv in the process and use its loop: only Node has it, and tells what Linux's epoll is told of. */
const hasEventLoop = isNode && process.platform === 'linux'

/** Whether this thread may look for responses itself, where its loop tells the engine nothing. */
const looksItself = !isNode && process.platform === 'linux'

/** Whether sockets have a type of service: Node from 24.14 on, Bun. */
const knowsTypeOfService = typeof (/** @type {any} */ (net.Socket.prototype).setTypeOfService) === 'function'

const defaultAutoSelectFamily = () => net.getDefaultAutoSelectFamily?.() ?? false
const defaultAttemptTimeout = () => net.getDefaultAutoSelectFamilyAttemptTimeout?.() ?? 250

/** The address family that the runtime's dns.lookup() puts first; 0: it leaves the resolver's order. */
function firstFamily() {
  const order = dns().getDefaultResultOrder?.()
  if (order === 'ipv4first') return 4
  return order === 'ipv6first' ? 6 : 0
}

module.exports = {
  AsyncResource,
  captureOnIncoming,
  defaultAttemptTimeout,
  defaultAutoSelectFamily,
  endMeasurement,
  firstFamily,
  forgetsCanceledWrites,
  globalProxyEnv,
  heedsProxyEnv,
  hasListeners,
  ignoresAgents,
  isBun,
  isDeno,
  hasOlderParser,
  isMeasured,
  isNode,
  isLinux,
  isWindows,
  kDestroyError,
  kDetachAbortSignal,
  kNeedDrain,
  knowsTypeOfService,
  hasEventLoop,
  looksItself,
  measuresRequests,
  quietly,
  parsesLeniently: parsesLeniently(),
  pausesAtSwitching,
  runtimeName,
  tellsCanceledAtOnce,
  wakesBeforeTicks,
}
