'use strict'

// What `req.socket` and `res.socket` show: a net.Socket without a handle in front of an engine connection.
//
// - One socket per connection, the same for every request on it.
// - Bytes written go to the exchange under way; its response never passes through here.
// - destroy() ends the connection and settles the exchange: 'error' if there is one, then 'close', exactly once.

const net = require('node:net')
const { getSystemErrorName } = require('node:util')

const { nextTick, setImmediate } = require('../runtime/captured.js')
const { streamDestroyed } = require('../common/errors.js')
const { isNode, isWindows, knowsTypeOfService } = require('../runtime/probes.js')

/** @typedef {import('../exchange/connection.js').Connection} Connection */

const Socket = /** @type {new (options?: object) => any} */ (net.Socket)

const inherited = /** @type {any} */ (net.Socket.prototype)
/** Whether the runtime's setKeepAlive() knows interval and count, and takes them as an object (Node ≥ 24). */
const takesProbes = isNode && inherited.setKeepAlive.length === 4

class EngineSocket extends Socket {
  /** @type {Connection} */
  #connection
  /** Whether it has closed, and all have heard so: what was to be sent is given up. */
  #isOver = false
  /** The request under way, as the runtime's sockets have it. @type {any} */
  _httpMessage = null

  /**
   * @param {Connection} connection
   * @param {Record<string, any>} options
   */
  constructor(connection, options) {
    super(options.highWaterMark == null ? undefined : { highWaterMark: options.highWaterMark })
    this.#connection = connection
    // As on the runtime's sockets of a request, an error is the request's.
    this.on('error', onError)
    // And its end; whoever puts a listener before hears of it before the request and its response do.
    this.on('close', onClose)
  }

  /** @param {any} socket */
  static connectionOf(socket) {
    return /** @type {EngineSocket} */ (socket).#connection
  }

  /** @param {EngineSocket} socket */
  static giveUp(socket) {
    socket.#isOver = true
  }

  /** Those of other prototypes, too. @param {any} value */
  static [Symbol.hasInstance](value) {
    return typeof value === 'object' && value !== null && #connection in value
  }

  get pending() {
    return this.connecting
  }

  get readyState() {
    if (this.connecting) return 'opening'
    return this.destroyed ? 'closed' : 'open'
  }

  get localAddress() {
    return this.#connection.localAddress
  }

  get localPort() {
    return this.#connection.localPort
  }

  get localFamily() {
    return familyOf(this.localAddress)
  }

  get remoteAddress() {
    return this.#connection.remoteAddress
  }

  get remotePort() {
    return this.#connection.remotePort
  }

  get remoteFamily() {
    return familyOf(this.remoteAddress)
  }

  address() {
    const address = this.localAddress
    return address === undefined ? {} : { address, family: this.localFamily, port: this.localPort }
  }

  /** Heads and bodies received, without the framing between them. */
  get bytesRead() {
    return this.#connection.bytesRead
  }

  // Some runtimes assign it in their constructor.
  set bytesRead(_bytes) {}

  get bytesWritten() {
    return this.#connection.bytesWritten
  }

  set bytesWritten(_bytes) {}

  /** Bytes that are not sent yet. */
  get writableLength() {
    return this.#isOver ? 0 : (this.#connection.exchange?.pending ?? 0)
  }

  get bufferSize() {
    return this.writableLength
  }

  /**
   * @param {any} data
   * @param {any} [encoding]
   * @param {any} [callback]
   */
  write(data, encoding, callback) {
    if (typeof encoding === 'function') {
      callback = encoding
      encoding = undefined
    }
    const { exchange } = this.#connection
    if (exchange === null || this.destroyed) {
      if (typeof callback === 'function') nextTick(callback, streamDestroyed('write'))
      return false
    }
    return exchange.write(data, encoding, callback)
  }

  /**
   * The connection takes no further request.
   * @param {any} [data]
   * @param {any} [encoding]
   * @param {any} [callback]
   */
  end(data, encoding, callback) {
    const done = [data, encoding, callback].find((argument) => typeof argument === 'function')
    if (data !== undefined && data !== null && typeof data !== 'function') this.write(data, encoding)
    if (done !== undefined) this.once('close', done)
    this.destroySoon()
    return this
  }

  cork() {
    super.cork()
    this.#connection.exchange?.cork()
  }

  uncork() {
    super.uncork()
    if (this.writableCorked === 0) this.#connection.exchange?.uncork()
  }

  destroySoon() {
    const { exchange } = this.#connection
    if (exchange === null) this.destroy()
    else exchange.endConnection()
  }

  resetAndDestroy() {
    return this.destroy()
  }

  /**
   * @param {number} msecs
   * @param {() => void} [callback]
   */
  setTimeout(msecs, callback) {
    if (this.destroyed) return this
    if (
      typeof msecs !== 'number' ||
      !(msecs >= 0) ||
      msecs > 0x7fffffff ||
      (callback && typeof callback !== 'function')
    ) {
      // The runtime's own complaint.
      super.setTimeout(msecs, callback)
      super.setTimeout(0)
    }
    this.timeout = msecs
    this.#connection.setTimeout(Math.min(msecs, 0x7fffffff))
    if (callback === undefined) return this
    if (msecs === 0) this.removeListener('timeout', callback)
    else this.once('timeout', callback)
    return this
  }

  setNoDelay(enable = true) {
    this.#connection.setNoDelay(Boolean(enable))
    return this
  }

  /**
   * Numbers as the runtime reads them, down to where it takes libuv's own: a probe each second, ten of them.
   * @param {any} [enable]
   * @param {any} [initialDelay] ms
   * @param {any} [interval] ms
   * @param {any} [count]
   */
  setKeepAlive(enable, initialDelay, interval, count) {
    if (!takesProbes) {
      interval = undefined
      count = undefined
    } else if (enable !== null && typeof enable === 'object') {
      ;({ enable, initialDelay, interval, count } = enable)
    }
    const delayS = ~~(initialDelay / 1000)
    const intervalS = interval === undefined ? 1 : ~~(interval / 1000)
    this.#connection.setKeepAlive({
      enable: Boolean(enable),
      delayS: Math.max(0, delayS),
      intervalS: intervalS < 0 ? 1 : intervalS,
      count: isUint32(count) ? count : 10,
    })
    return this
  }

  /** For the request under way: idle connections never keep the process alive, and the next request starts anew. */
  ref() {
    this.#connection.exchange?.setRef(true)
    return this
  }

  unref() {
    this.#connection.exchange?.setRef(false)
    return this
  }

  pause() {
    this.#connection.exchange?.hold()
    return this
  }

  resume() {
    this.#connection.exchange?.resume()
    return this
  }

  _read() {}

  /**
   * @param {Error | null} error
   * @param {(error?: Error | null) => void} callback
   */
  _destroy(error, callback) {
    this.connecting = false
    const connection = this.#connection
    connection.stopTimeout()
    connection.origin.stale = true
    if (connection.exchange !== null) connection.exchange.onDestroyed(error)
    else if (!connection.isClosed) connection.port.submission.close(connection.id)
    callback(error)
    setImmediate(close, this, connection, error !== null)
  }
}

// Where the runtime's sockets have one. It keeps what is set as long as there is no connection, and judges arguments.
if (knowsTypeOfService) {
  const methods = {
    /**
     * @this {EngineSocket}
     * @param {any} tos
     */
    setTypeOfService(tos) {
      inherited.setTypeOfService.call(this, tos)
      const now = EngineSocket.connectionOf(this).typeOfService(tos)
      if (now !== null && now < 0 && !isWindows) throw systemError(now, 'setTypeOfService')
      return this
    },

    /** @this {EngineSocket} */
    getTypeOfService() {
      const now = EngineSocket.connectionOf(this).typeOfService(-1)
      if (now !== null && now < 0 && !isWindows) throw systemError(now, 'getTypeOfService')
      return now === null || now < 0 ? inherited.getTypeOfService.call(this) : now
    },
  }
  // Defined, since the runtime's prototype may be frozen: what is read-only there can't be assigned here.
  Object.defineProperties(EngineSocket.prototype, Object.getOwnPropertyDescriptors(methods))
}

/** @param {unknown} value */
function isUint32(value) {
  return typeof value === 'number' && value >>> 0 === value
}

/**
 * @param {number} errno
 * @param {string} syscall
 */
function systemError(errno, syscall) {
  const code = getSystemErrorName(errno)
  return Object.assign(new Error(`${syscall} ${code}`), { errno, code, syscall })
}

/** @param {string | undefined} address */
function familyOf(address) {
  const version = net.isIP(address ?? '')
  return version === 0 ? undefined : `IPv${version}`
}

/**
 * @this {EngineSocket}
 * @param {Error} error
 */
function onError(error) {
  this._httpMessage?.[kExchange]?.onSocketError(error)
}

/**
 * @param {EngineSocket} socket
 * @param {Connection} connection
 * @param {boolean} hadError
 */
function close(socket, connection, hadError) {
  connection.leave()
  const req = socket._httpMessage
  // Those who listen for a body that breaks off count the bytes of a socket, which this one does not have: of a complete
  // one they hear nothing before the request has closed, and with that ends their interest.
  /** @type {import('../exchange/exchange.js').Exchange | undefined} */
  const exchange = req?.[kExchange]
  try {
    exchange?.failCallbacks(false)
  } finally {
    try {
      if (req?.res && !req.res.complete) closings.set(socket, req)
      else settle(req)
      socket.emit('close', hadError)
    } finally {
      // Somebody has thrown, or has taken all listeners off.
      onClose.call(socket)
      EngineSocket.giveUp(socket)
      exchange?.failCallbacks(true)
    }
  }
}

/** Sockets that are closing, with the requests that have yet to hear of it. @type {WeakMap<EngineSocket, any>} */
const closings = new WeakMap()

/** @this {EngineSocket} */
function onClose() {
  const req = closings.get(this)
  if (req === undefined) return
  closings.delete(this)
  settle(req)
}

/** @param {any} req */
function settle(req) {
  req?.[kExchange]?.onSocketClose()
}

/** What sockets say of connections that speak HTTP/2 without TLS, as the runtime's own sessions do. */
const H2C = 'h2c'

/**
 * Whether a connection may speak HTTP/2.
 * @param {{ alpnProtocol?: unknown } | null | undefined} socket
 */
function maySpeakHttp2(socket) {
  return socket?.alpnProtocol === 'h2' || socket?.alpnProtocol === H2C
}

/** Where a request keeps its exchange. */
const kExchange = Symbol('keepwire.exchange')

module.exports = { EngineSocket, H2C, kExchange, maySpeakHttp2 }
