'use strict'

// A complete http.ClientRequest of our own, for runtimes whose own one has its own pool and ignores agents: it serializes
// as Node's does and hands itself to the agent's addRequest(), from where client-request/exchange.js goes on.

const { Buffer } = require('node:buffer')
const { EventEmitter } = require('node:events')
const { Stream } = require('node:stream')

const { nextTick } = require('../runtime/captured.js')
const { coded, streamDestroyed, optionError } = require('../common/errors.js')
const { ClientRequest } = require('../runtime/genuine.js')
const { kDestroyError, kNeedDrain } = require('../runtime/probes.js')
const { headerMethods, setInitialHeaders } = require('./headers.js')
const { shadowAccessors } = require('./shadow.js')

const HIGH_WATER_MARK = 64 * 1024
const INVALID_PATH = /[^\u0021-\u00ff]/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const WITHOUT_BODY = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'])

/**
 * @this {any}
 * @param {any} agent
 * @param {Record<string, any>} options
 * @param {any} callback
 */
function LegacyRequest(agent, options, callback) {
  /** @type {any} */
  EventEmitter.call(this)
  if (options.path && INVALID_PATH.test(String(options.path))) {
    throw optionError(TypeError, 'ERR_UNESCAPED_CHARACTERS', 'Request path contains unescaped characters')
  }
  const protocol = options.protocol || agent.protocol
  if (protocol !== agent.protocol) {
    const message = `Protocol "${protocol}" not supported. Expected "${agent.protocol}"`
    throw optionError(TypeError, 'ERR_INVALID_PROTOCOL', message)
  }
  const method = options.method ?? 'GET'
  if (typeof method !== 'string') {
    throw optionError(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "options.method" property must be of type string.')
  }
  if (method !== '' && !TOKEN.test(method)) {
    throw optionError(TypeError, 'ERR_INVALID_HTTP_TOKEN', `Method must be a valid HTTP token ["${method}"]`)
  }
  this.agent = agent
  this.method = method.toUpperCase() || 'GET'
  this.path = options.path || '/'
  this.host = options.hostname || options.host || 'localhost'
  this.protocol = protocol
  this.socketPath = options.socketPath
  if (options.timeout !== undefined) this.timeout = options.timeout
  this.maxHeaderSize = options.maxHeaderSize
  this.joinDuplicateHeaders = options.joinDuplicateHeaders
  this.maxHeadersCount = null
  this.headerLines = new Map()
  this.outputData = []
  this.outputSize = 0
  this.writable = true
  this.destroyed = false
  this.aborted = false
  this.finished = false
  this.writableFinished = false
  this.res = null
  this.socket = null
  this.reusedSocket = false
  this.timeoutCb = null
  this.useChunkedEncodingByDefault = !WITHOUT_BODY.has(this.method)
  this.chunkedEncoding = false
  this.shouldKeepAlive = agent.keepAlive || Number.isFinite(agent.maxSockets)
  this._header = null
  this._headerSent = false
  this._trailer = ''
  this._closed = false
  this._ended = false
  this[kNeedDrain] = false
  if (callback) this.once('response', callback)

  const port = options.port || options.defaultPort || agent.defaultPort
  this.port = port
  setInitialHeaders(this, options)
  watch(this, options.signal)
  agent.addRequest(this, { ...options, host: this.host, port, signal: undefined })
  if (this.hasHeader('expect')) this.flushHeaders()
}
LegacyRequest.prototype = Object.create(ClientRequest.prototype)
shadowAccessors(LegacyRequest.prototype, ClientRequest.prototype, Stream.prototype)

/**
 * @param {any} req
 * @param {AbortSignal | undefined} signal
 */
function watch(req, signal) {
  if (!signal) return
  const abort = () => {
    const error = new Error('The operation was aborted', { cause: signal.reason })
    error.name = 'AbortError'
    req.destroy(Object.assign(error, { code: 'ABORT_ERR' }))
  }
  if (signal.aborted) {
    nextTick(abort)
    return
  }
  signal.addEventListener('abort', abort)
  req.once('close', () => signal.removeEventListener('abort', abort))
}

/** @param {any} chunk */
function check(chunk) {
  if (typeof chunk === 'string' || chunk instanceof Uint8Array) return
  const message = 'The "chunk" argument must be of type string or an instance of Buffer or Uint8Array.'
  throw optionError(TypeError, chunk === null ? 'ERR_STREAM_NULL_VALUES' : 'ERR_INVALID_ARG_TYPE', message)
}

/** @type {Record<string, (this: any, ...args: any[]) => any>} */
const methods = {
  ...headerMethods,

  flushHeaders() {
    if (this._header === null) this._implicitHeader()
    this.send('', 'latin1')
  },

  /** To the socket, or into the queue until there is one. */
  send(data, encoding, callback) {
    if (!this._headerSent) {
      this._headerSent = true
      this.send(this._header, 'latin1')
    }
    const { socket } = this
    if (socket?._httpMessage === this && this.outputData.length === 0) return socket.write(data, encoding, callback)
    this.outputData.push({ data, encoding, callback })
    this.outputSize += data.length
    return this.outputSize < HIGH_WATER_MARK
  },

  /** One chunk of the body. */
  frame(chunk, encoding, callback) {
    if (!this.chunkedEncoding) return this.send(chunk, encoding, callback)
    if (chunk.length === 0) return this.send('', 'latin1', callback)
    this.send(`${Buffer.byteLength(chunk, encoding).toString(16)}\r\n`, 'latin1')
    this.send(chunk, encoding)
    return this.send('\r\n', 'latin1', callback)
  },

  write(chunk, encoding, callback) {
    if (typeof encoding === 'function') return this.write(chunk, undefined, encoding)
    check(chunk)
    if (this.finished || this.destroyed) {
      const error = this.destroyed ? streamDestroyed('write') : coded('ERR_STREAM_WRITE_AFTER_END', 'write after end')
      nextTick(() => {
        callback?.(error)
        if (!this.destroyed) this.emit('error', error)
      })
      return false
    }
    if (this._header === null) this._implicitHeader()
    const room = this.frame(chunk, encoding, callback)
    if (!room) this[kNeedDrain] = true
    return room
  },

  end(chunk, encoding, callback) {
    if (typeof chunk === 'function') return this.end(undefined, undefined, chunk)
    if (typeof encoding === 'function') return this.end(chunk, undefined, encoding)
    if (this.finished) {
      if (chunk) this.write(chunk, encoding)
      return this
    }
    const hasBody = chunk !== undefined && chunk !== null && chunk !== ''
    if (hasBody) check(chunk)
    if (typeof callback === 'function') this.once('finish', callback)
    if (this._header === null) this._implicitHeader(hasBody ? Buffer.byteLength(chunk, encoding) : 0)
    if (hasBody) this.frame(chunk, encoding)
    const finish = (/** @type {Error | undefined} */ error) => {
      if (error) return
      this.writableFinished = true
      this.emit('finish')
    }
    this.send(this.chunkedEncoding ? `0\r\n${this._trailer}\r\n` : '', 'latin1', finish)
    this.finished = true
    if (this.socket?._httpMessage === this && this.outputData.length === 0) this.emit('prefinish')
    return this
  },

  /** There is a socket: what waits goes out. */
  _flush() {
    const waiting = this.outputData
    this.outputData = []
    this.outputSize = 0
    this.socket.cork()
    for (const { data, encoding, callback } of waiting) this.socket.write(data, encoding, callback)
    this.socket.uncork()
    if (this.finished) this.emit('prefinish')
    else if (this[kNeedDrain]) {
      this[kNeedDrain] = false
      this.emit('drain')
    }
  },

  cork() {
    this.socket?.cork()
  },

  uncork() {
    this.socket?.uncork()
  },

  /** A real socket: the agent has found that only one can carry this request. */
  onSocket(socket, error) {
    socket?.destroy()
    const reason = error ?? coded('ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', 'This runtime has no requests over sockets')
    nextTick(() => {
      this.destroyed = true
      this.emit('error', reason)
      this._closed = true
      this.emit('close')
    })
  },

  setTimeout(ms, callback) {
    if (callback) this.on('timeout', callback)
    this.timeout = ms
    if (this.socket === null) this.once('socket', (/** @type {any} */ socket) => socket.setTimeout(ms))
    else this.socket.setTimeout(ms)
    this.listenToTimeout()
    return this
  },

  /** Has the socket's timeout told as the request's. */
  listenToTimeout() {
    if (this.timeoutCb || this.socket === null) return
    const tell = () => this.emit('timeout')
    this.timeoutCb = tell
    this.socket.once('timeout', tell)
  },

  clearTimeout(callback) {
    return this.setTimeout(0, callback)
  },

  setNoDelay(on) {
    if (this.socket === null) this.once('socket', (/** @type {any} */ socket) => socket.setNoDelay(on))
    else this.socket.setNoDelay(on)
  },

  setSocketKeepAlive(on, delay) {
    if (this.socket === null) this.once('socket', (/** @type {any} */ socket) => socket.setKeepAlive(on, delay))
    else this.socket.setKeepAlive(on, delay)
  },

  abort() {
    if (this.aborted) return
    this.aborted = true
    nextTick(() => this.emit('abort'))
    this.destroy()
  },

  destroy(error) {
    if (this.destroyed) return this
    this.destroyed = true
    this.res?._dump()
    this[kDestroyError] = error
    this.socket?.destroy(error)
    return this
  },
}

for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(LegacyRequest.prototype, name, { value, writable: true, configurable: true })
}

/** @type {Record<string, (req: any) => unknown>} */
const shown = {
  connection: (req) => req.socket,
  headersSent: (req) => req._header !== null,
  writableEnded: (req) => req.finished,
  writableLength: (req) => req.outputSize + (req.socket?.writableLength ?? 0),
  writableHighWaterMark: (req) => req.socket?.writableHighWaterMark ?? HIGH_WATER_MARK,
  writableNeedDrain: (req) => !req.destroyed && !req.finished && req[kNeedDrain],
  writableObjectMode: () => false,
  closed: (req) => req._closed,
}
for (const [name, look] of Object.entries(shown)) {
  Object.defineProperty(LegacyRequest.prototype, name, {
    /** @this {any} */
    get() {
      return look(this)
    },
    configurable: true,
  })
}

module.exports = { LegacyRequest }
