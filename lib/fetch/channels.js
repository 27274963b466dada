'use strict'

// What tracers hear of a fetch: the diagnostics channels of undici, which is Node's own fetch, with messages of its shape.
// Nothing is made unless somebody listens.

const diagnostics = require('node:diagnostics_channel')
const { Buffer } = require('node:buffer')
const { Socket } = require('node:net')

const { fetchFailed } = require('./errors.js')
const { FORBIDDEN, SENDABLE, wireHead } = require('./head.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

const created = diagnostics.channel('undici:request:create')
const headSent = diagnostics.channel('undici:client:sendHeaders')
const bodySent = diagnostics.channel('undici:request:bodySent')
const answered = diagnostics.channel('undici:request:headers')
const completed = diagnostics.channel('undici:request:trailers')
const failed = diagnostics.channel('undici:request:error')
const CHANNELS = [created, headSent, bodySent, answered, completed, failed]

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Those that undici keeps apart from its `headers`. */
const APART = new Set(['connection', 'content-length', 'host'])

/** On which dd-trace hears what is loaded. It listens to undici's channels only when it has heard of undici. */
const loads = diagnostics.channel('dd-trace:instrumentation:load')
let isIntroduced = false

/**
 * Whether a request is to be told of.
 * @param {FetchRequest} request
 */
function isHeard(request) {
  // Its wrapper around ours hears of it already.
  if (!isIntroduced && loads.hasSubscribers && !request.place?.isWrapped) {
    isIntroduced = true
    loads.publish({ name: 'undici' })
  }
  for (const channel of CHANNELS) if (channel.hasSubscribers) return true
  return false
}

/** The `request` of the messages. Listeners keep things of their own in it. */
class TracedRequest {
  /** Names and values in turn, as they go out. @type {any[]} */
  headers = []
  /** @type {string | null} */
  host = null
  /** @type {number | null} */
  contentLength = null
  completed = false
  aborted = false
  upgrade = null

  /** @param {FetchRequest} request */
  constructor({ body, fields, length, method, target }) {
    this.origin = target.origin
    this.path = target.path
    this.method = method
    this.protocol = target.protocol
    this.body = body
    this.idempotent = method === 'GET' || method === 'HEAD'
    if (length >= 0) this.contentLength = length
    for (let at = 0; at < fields.length; at += 2) {
      if (fields[at] === 'host') this.host = fields[at + 1]
      else if (!APART.has(fields[at])) this.headers.push(fields[at], fields[at + 1])
    }
  }

  /** @returns {string | null} */
  get contentType() {
    const at = this.headers.indexOf('content-type')
    return at < 0 ? null : this.headers[at + 1]
  }

  /**
   * Sends a header with the request; of effect in `undici:request:create`.
   * @param {string} name
   * @param {any} value
   */
  addHeader(name, value) {
    if (value === undefined) return this
    const lower = String(name).toLowerCase()
    if (!TOKEN.test(lower)) throw invalid('invalid header key')
    if (lower === 'host' && this.host !== null) throw invalid('duplicate host header')
    if (lower === 'content-length' || lower === 'connection' || FORBIDDEN.has(lower)) {
      throw invalid(`invalid ${lower} header`)
    }
    const values = Array.isArray(value) ? value.map(textOf) : textOf(value)
    for (const each of [values].flat()) if (!SENDABLE.test(each)) throw invalid(`invalid ${name} header`)
    if (lower === 'host') this.host = String(values)
    else this.headers.push(name, values)
    return this
  }
}

/** One request of a fetch, as told to listeners. */
class Trace {
  #request
  #isHeadSent = false
  #isBodySent = false
  #isOver = false

  /** @param {FetchRequest} request */
  constructor(request) {
    this.#request = new TracedRequest(request)
    created.publish({ request: this.#request })
  }

  /**
   * The request with what listeners have added.
   * @param {FetchRequest} request
   * @returns {FetchRequest}
   */
  applied(request) {
    const { headers, host } = this.#request
    /** @type {string[]} */
    const fields = []
    for (let at = 0; at < request.fields.length; at += 2) {
      const name = request.fields[at]
      if (APART.has(name) && name !== 'host') fields.push(name, request.fields[at + 1])
    }
    if (host !== null) fields.push('host', host)
    for (let at = 0; at < headers.length; at += 2) {
      const name = String(headers[at]).toLowerCase()
      if (APART.has(name) || FORBIDDEN.has(name)) continue
      // Those that are as they were have been checked; listeners can write to the array as well.
      for (const value of [headers[at + 1]].flat().map(textOf)) {
        const isOld = request.fields[request.fields.indexOf(name) + 1] === value
        if (!isOld && !(TOKEN.test(name) && SENDABLE.test(value))) throw fetchFailed(invalid(`invalid ${name} header`))
        fields.push(name, value)
      }
    }
    return { ...request, fields, trace: this }
  }

  /**
   * Its head goes out.
   * @param {FetchRequest} request
   * @param {any} socket null: the engine's client chooses the connection, and tells nothing of it
   * @param {boolean} keepAlive
   */
  sendHead(request, socket, keepAlive) {
    if (this.#isHeadSent || this.#isOver) return
    this.#isHeadSent = true
    if (!headSent.hasSubscribers) return
    // Without the empty line.
    const headers = wireHead(request, keepAlive).slice(0, -2)
    // Listeners take it for granted that there is one.
    headSent.publish({ request: this.#request, headers, socket: socket ?? new Socket() })
  }

  /** All of it has been handed over. */
  sendEnd() {
    if (this.#isBodySent || this.#isOver) return
    this.#isBodySent = true
    if (bodySent.hasSubscribers) bodySent.publish({ request: this.#request })
  }

  /**
   * @param {number} statusCode
   * @param {import('../bridge/response-heads.js').Head} head
   */
  answer(statusCode, head) {
    if (this.#isOver || !answered.hasSubscribers) return
    const headers = head.lines.map((text) => Buffer.from(text, 'latin1'))
    answered.publish({ request: this.#request, response: { statusCode, headers, statusText: head.reason ?? '' } })
  }

  /** The response has come in full, or as far as anybody cares. */
  complete() {
    if (this.#isOver) return
    this.#isOver = true
    this.#request.completed = true
    if (completed.hasSubscribers) completed.publish({ request: this.#request, trailers: [] })
  }

  /** @param {any} reason what the fetch or its body rejects with */
  fail(reason) {
    if (this.#isOver) return
    this.#isOver = true
    this.#request.aborted = true
    if (!failed.hasSubscribers) return
    // undici tells what lies under fetch's own error.
    const error = (reason instanceof TypeError ? reason.cause : undefined) ?? reason ?? givenUp()
    failed.publish({ request: this.#request, error })
  }
}

/** What is told of a response that nobody wants any more. */
function givenUp() {
  return new DOMException('The operation was aborted.', 'AbortError')
}

/** @param {unknown} value */
function textOf(value) {
  return value === null ? '' : String(value)
}

/** @param {string} message */
function invalid(message) {
  return Object.assign(new Error(message), { name: 'InvalidArgumentError', code: 'UND_ERR_INVALID_ARG' })
}

module.exports = { Trace, isHeard }
