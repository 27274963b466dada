'use strict'

// The header fields of a request.js, and its head as Node would say it.

const { Buffer } = require('node:buffer')
const http = require('node:http')

const { optionError } = require('../common/errors.js')

const { validateHeaderName, validateHeaderValue } = /** @type {any} */ (http)

/** @param {any[]} list names and values in turn, or pairs of them */
function pairs(list) {
  if (Array.isArray(list[0])) return list
  return Array.from({ length: list.length >> 1 }, (_, at) => [list[at * 2], list[at * 2 + 1]])
}

/**
 * Those that a new request has.
 * @param {any} req
 * @param {Record<string, any>} options
 */
function setInitialHeaders(req, options) {
  const headers = options.headers ?? {}
  const lines = Array.isArray(headers) ? pairs(headers) : Object.entries(headers)
  for (const [name, value] of lines) req[Array.isArray(headers) ? 'appendHeader' : 'setHeader'](name, value)
  if (options.setHost !== false && !req.hasHeader('host')) {
    const isIPv6 = req.host.includes(':') && req.host[0] !== '['
    const host = isIPv6 ? `[${req.host}]` : req.host
    req.setHeader(
      'Host',
      Number(req.port) === (options.defaultPort || req.agent.defaultPort) ? host : `${host}:${req.port}`,
    )
  }
  if (options.auth && !req.hasHeader('authorization')) {
    req.setHeader('Authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`)
  }
}

/** @param {any} req */
function mustBeOpen(req) {
  if (req._header !== null) {
    throw optionError(Error, 'ERR_HTTP_HEADERS_SENT', 'Cannot set headers after they are sent to the client')
  }
}

/** @type {Record<string, (this: any, ...args: any[]) => any>} */
const headerMethods = {
  setHeader(name, value) {
    mustBeOpen(this)
    validateHeaderName(name)
    for (const one of [value].flat()) validateHeaderValue(name, one)
    this.headerLines.set(name.toLowerCase(), [name, value])
    return this
  },

  appendHeader(name, value) {
    const known = this.headerLines.get(String(name).toLowerCase())
    return this.setHeader(known?.[0] ?? name, known === undefined ? value : [known[1], value].flat())
  },

  setHeaders(headers) {
    for (const [name, value] of headers) this.setHeader(name, value)
    return this
  },

  getHeader(name) {
    return this.headerLines.get(name.toLowerCase())?.[1]
  },

  hasHeader(name) {
    return this.headerLines.has(name.toLowerCase())
  },

  getHeaderNames() {
    return [...this.headerLines.keys()]
  },

  getRawHeaderNames() {
    return Array.from(this.headerLines.values(), ([name]) => name)
  },

  getHeaders() {
    const headers = Object.create(null)
    for (const [name, [, value]] of this.headerLines) headers[name] = value
    return headers
  },

  removeHeader(name) {
    mustBeOpen(this)
    this.headerLines.delete(name.toLowerCase())
  },

  addTrailers(trailers) {
    for (const [name, value] of Array.isArray(trailers) ? trailers : Object.entries(trailers)) {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      this._trailer += `${name}: ${value}\r\n`
    }
  },

  /** @param {number} [length] of the whole body, if it is known */
  _implicitHeader(length) {
    let text = `${this.method} ${this.path} HTTP/1.1\r\n`
    for (const [name, value] of this.headerLines.values()) {
      const isCookie = name.toLowerCase() === 'cookie' && Array.isArray(value)
      for (const one of isCookie ? [value.join('; ')] : [value].flat()) text += `${name}: ${one}\r\n`
    }
    const connection = this.getHeader('connection')
    if (connection === undefined) text += `Connection: ${this.shouldKeepAlive ? 'keep-alive' : 'close'}\r\n`
    else if (/(?:^|\W)close(?:$|\W)/i.test(String(connection))) this.shouldKeepAlive = false
    if (this.hasHeader('transfer-encoding')) {
      this.chunkedEncoding = /(?:^|\W)chunked(?:$|\W)/i.test(String(this.getHeader('transfer-encoding')))
    } else if (!this.hasHeader('content-length') && this.useChunkedEncodingByDefault) {
      this.chunkedEncoding = length === undefined || this.hasHeader('trailer')
      text += this.chunkedEncoding ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${length}\r\n`
    }
    this._header = `${text}\r\n`
  },
}

module.exports = { headerMethods, setInitialHeaders }
