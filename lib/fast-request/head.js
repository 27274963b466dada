'use strict'

// The head of a request whose options are simple enough to say it without the runtime's help: byte for byte what the
// runtime would send. Whatever is not that simple has no head here, and is left to the runtime.

const { Buffer } = require('node:buffer')

/** Names that decide about the connection, the framing or the meaning of other lines: left to the runtime. */
const SPECIAL = new Set([
  'connection',
  'content-disposition',
  'date',
  'expect',
  'http2-settings',
  'idempotency-key',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-idempotency-key',
])

const ORDINARY = 1
const HOST = 2
const CONTENT_LENGTH = 3
const CREDENTIALS = 4

/** Names that mean something here. @type {Map<string, number>} */
const KINDS = new Map([
  ['host', HOST],
  ['content-length', CONTENT_LENGTH],
  ['authorization', CREDENTIALS],
  ['proxy-authorization', CREDENTIALS],
])

/** A token that starts with a letter: names like "1" would come in another order. */
const NAME = /^[A-Za-z][!#$%&'*+\-.^_`|~0-9A-Za-z]*$/
const INVALID_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const INVALID_PATH = /[^\x21-\xff]/
const NOT_ASCII = /[\x80-\xff]/
const HOST_NAME = /^[A-Za-z0-9._-]+$/

/** Methods whose requests say the length of their body, also when it is 0. */
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH'])
const WITHOUT_BODY = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

const MOST_NAMES = 1024
/** Longer ones are not kept. */
const LONGEST_NAME = 256
/** Beyond, finding two spellings of one name takes too long. */
const MOST_HEADERS = 32

/** @typedef {{ kind: number, lower: string }} Name */

/** Names seen before. @type {Map<string, Name | null>} */
const names = new Map()

/** @param {string} name */
function nameOf(name) {
  let known = names.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  if (!NAME.test(name) || SPECIAL.has(lower)) known = null
  else known = { kind: KINDS.get(lower) ?? ORDINARY, lower }
  if (name.length > LONGEST_NAME) return known
  if (names.size >= MOST_NAMES) names.clear()
  names.set(name, known)
  return known
}

/** Hosts seen last, with their verdicts. @type {Map<string, boolean>} */
const hosts = new Map()

/** @param {unknown} host */
function isSimpleHost(host) {
  if (typeof host !== 'string') return false
  let simple = hosts.get(host)
  if (simple === undefined) {
    simple = HOST_NAME.test(host)
    if (host.length > LONGEST_NAME) return simple
    if (hosts.size >= MOST_NAMES) hosts.clear()
    hosts.set(host, simple)
  }
  return simple
}

/**
 * @param {string} method
 * @param {string} path
 * @param {string} host
 * @param {number} port
 * @param {number} defaultPort
 * @param {Record<string, unknown> | undefined} headers
 * @returns {Head | undefined}
 */
function headOf(method, path, host, port, defaultPort, headers) {
  const withBody = WITH_BODY.has(method)
  if (!(withBody || WITHOUT_BODY.has(method)) || INVALID_PATH.test(path)) return undefined
  let text = `${method} ${path} HTTP/1.1\r\n`
  /** @type {Record<string, unknown>} */
  const said = {}
  let saysLength = false
  if (headers !== undefined) {
    const keys = Object.keys(headers)
    if (keys.length > MOST_HEADERS) return undefined
    for (let at = 0; at < keys.length; at += 1) {
      const key = keys[at]
      const name = nameOf(key)
      if (name === null) return undefined
      let value = headers[key]
      if (typeof value === 'number') value = String(value)
      else if (typeof value !== 'string' || INVALID_VALUE.test(value)) return undefined
      for (let other = 0; other < at; other += 1) {
        if (nameOf(keys[other])?.lower === name.lower) return undefined
      }
      if (name.kind === HOST) {
        // The runtime puts its own in place of an empty one.
        if (value === '' || typeof headers[key] !== 'string') return undefined
        said.host = value
      } else if (name.kind === CREDENTIALS) {
        said[name.lower] = value
      } else if (name.kind === CONTENT_LENGTH) {
        saysLength = true
      }
      text += `${key}: ${value}\r\n`
    }
  }
  if (said.host === undefined) {
    said.host = port === defaultPort ? host : `${host}:${port}`
    text += `Host: ${said.host}\r\n`
  }
  text += 'Connection: keep-alive\r\n'
  return new Head(text, withBody, saysLength, said)
}

class Head {
  #text
  #withBody
  #saysLength
  /** Without a body, once it was sent. @type {Buffer | undefined} */
  #bare
  #said

  /**
   * @param {string} text all lines but that of the body's length
   * @param {boolean} withBody whether the method has one
   * @param {boolean} saysLength whether the user does
   * @param {Record<string, unknown>} said the host and credentials in it, by their names
   */
  constructor(text, withBody, saysLength, said) {
    this.#text = text
    this.#withBody = withBody
    this.#saysLength = saysLength
    this.#said = said
  }

  /** Whether a body can follow it. */
  get takesBody() {
    return this.#withBody || this.#saysLength
  }

  /** Whether a text may follow it: the runtime encodes both as one, in UTF-8. */
  get takesText() {
    return !NOT_ASCII.test(this.#text)
  }

  /**
   * As of the request that it is the head of.
   * @param {string} name the host's or that of credentials
   */
  getHeader(name) {
    return this.#said[name]
  }

  /** @param {number} length the body's, in bytes */
  text(length) {
    if (this.#saysLength || !this.#withBody) return `${this.#text}\r\n`
    return `${this.#text}Content-Length: ${length}\r\n\r\n`
  }

  /** With no body behind it. */
  get bare() {
    this.#bare ??= Buffer.from(this.text(0), 'latin1')
    return this.#bare
  }
}

module.exports = { headOf, isSimpleHost }
