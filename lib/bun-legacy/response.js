'use strict'

// The response of a request.js: an http.IncomingMessage for runtimes whose own one reads from a parser that nobody
// else can feed.

const http = require('node:http')
const { Readable } = require('node:stream')

const { nextTick } = require('../runtime/captured.js')
const { shadowAccessors } = require('./shadow.js')

/** Of repeated headers the first counts. */
const SINGLE = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
])

/**
 * @this {any}
 * @param {any} socket
 */
function LegacyResponse(socket) {
  Readable.call(this, { highWaterMark: socket?.readableHighWaterMark })
  this.socket = socket
  this.client = socket
  this.httpVersion = null
  this.httpVersionMajor = null
  this.httpVersionMinor = null
  this.complete = false
  this.aborted = false
  this.headers = {}
  this.headersDistinct = Object.create(null)
  this.rawHeaders = []
  this.trailers = {}
  this.trailersDistinct = Object.create(null)
  this.rawTrailers = []
  this.joinDuplicateHeaders = false
  this.upgrade = null
  this.url = ''
  this.method = null
  this.statusCode = null
  this.statusMessage = null
  this._dumped = false
}
LegacyResponse.prototype = Object.create(http.IncomingMessage.prototype)
shadowAccessors(LegacyResponse.prototype, http.IncomingMessage.prototype, Readable.prototype)

const methods = {
  /**
   * Headers, or trailers once the body is over.
   * @this {any}
   * @param {string[]} lines
   * @param {number} count
   */
  _addHeaderLines(lines, count) {
    const into = this.complete ? this.trailers : this.headers
    const distinct = this.complete ? this.trailersDistinct : this.headersDistinct
    if (this.complete) this.rawTrailers = lines
    else this.rawHeaders = lines
    for (let at = 0; at < count; at += 2) {
      const name = lines[at].toLowerCase()
      this._addHeaderLine(name, lines[at + 1], into)
      distinct[name] ??= []
      distinct[name].push(lines[at + 1])
    }
  },

  /**
   * @this {any}
   * @param {string} field
   * @param {string} value
   * @param {Record<string, any>} into
   */
  _addHeaderLine(field, value, into) {
    const name = field.toLowerCase()
    if (name === 'set-cookie') into[name] = [...(into[name] ?? []), value]
    else if (into[name] === undefined) into[name] = value
    else if (name === 'cookie') into[name] += `; ${value}`
    else if (!SINGLE.has(name) || this.joinDuplicateHeaders) into[name] += `, ${value}`
  },

  /** @this {any} */
  _construct: undefined,

  /** @this {any} */
  _read() {
    this.socket?.resume()
  },

  /** @this {any} */
  _dump() {
    if (this._dumped) return
    this._dumped = true
    this.removeAllListeners('data')
    this.resume()
  },

  /**
   * @this {any}
   * @param {Error | null} error
   * @param {(error?: Error | null) => void} callback
   */
  _destroy(error, callback) {
    if (!this.readableEnded || !this.complete) {
      this.aborted = true
      this.emit('aborted')
      if (this.socket && !this.socket.destroyed) this.socket.destroy(error)
    }
    nextTick(() => callback(this.listenerCount('error') > 0 ? error : null))
  },

  /**
   * @this {any}
   * @param {number} ms
   * @param {() => void} [callback]
   */
  setTimeout(ms, callback) {
    if (callback) this.on('timeout', callback)
    this.socket?.setTimeout(ms)
    return this
  },
}

for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(LegacyResponse.prototype, name, { value, writable: true, configurable: true })
}
Object.defineProperty(LegacyResponse.prototype, 'connection', {
  /** @this {any} */
  get() {
    return this.socket
  },
  configurable: true,
})

module.exports = { LegacyResponse }
