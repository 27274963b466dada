'use strict'

// One request of a fetch that only the runtime's own sockets can carry: an https.request, within the limits of an agent. The
// engine and the server have nothing in common, and nothing of the fetch has been sent.

const { request } = require('node:https')
const { pipeline } = require('node:stream')

const { carryForeign } = require('../foreign.js')
const { LEGACY_SERVER } = require('../tls/legacy.js')
const { decodersOf } = require('./decoding.js')
const { causeFrom, closedBySomebody, fetchFailed } = require('./errors.js')
const { requestHeaders } = require('./head.js')

/** @typedef {import('node:http').ClientRequest} ClientRequest */
/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('../origins.js').Origin} Origin */
/** @typedef {import('./request.js').Order} Order */
/** @typedef {import('./hop.js').Owner} Owner */

/** Bytes of a body that are read ahead of whoever consumes it, as in the engine. */
const WINDOW = 512 * 1024
/** Statuses of responses that have no body. */
const BODYLESS = new Set([204, 304])

class RuntimeHop {
  #order
  #owner
  /** @type {ClientRequest | null} */
  #req = null
  /** The response's body, decoded. @type {import('node:stream').Readable | null} */
  #body = null
  #unacknowledged = 0
  #isOpen = true
  /** Whether the request has been said in full. */
  #isComplete = false
  /** Why the response ended early, if not for its codings. @type {Error | undefined} */
  #fault = undefined

  /**
   * @param {Order} order
   * @param {Owner} owner
   */
  constructor(order, owner) {
    this.#order = order
    this.#owner = owner
  }

  /** Whether the request's body is yet to be sent. */
  get isStream() {
    const { body } = this.#order
    return body !== null && typeof body === 'object' && !(body instanceof Uint8Array)
  }

  /**
   * @param {any} agent
   * @param {Origin} origin
   */
  start(agent, origin) {
    const { body, method, target } = this.#order
    const { host, port } = target.wanted
    const headers = requestHeaders(this.#order)
    const req = request({ agent: takingAway(agent, origin), host, port, method, path: target.path, headers })
    this.#req = req
    req.on('error', (error) => this.#fail(causeFrom(error)))
    req.on('close', () => this.#onClose())
    req.on('response', (res) => this.#onResponse(res))
    if (this.isStream) return
    this.#isComplete = true
    if (body === null) req.end()
    else req.end(body)
  }

  /**
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  send(bytes, isLast) {
    const req = this.#req
    if (!this.#isOpen || req === null) return
    if (isLast) {
      this.#isComplete = true
      req.end(bytes)
    } else {
      req.write(bytes, (error) => {
        if (!error && this.#isOpen) this.#owner.onTaken()
      })
    }
  }

  /** @param {number} bytes of the response's body that were consumed */
  acknowledge(bytes) {
    this.#unacknowledged -= bytes
    if (this.#unacknowledged < WINDOW) this.#body?.resume()
  }

  /** Somebody wants the body. */
  read() {
    this.#body?.on('data', (chunk) => {
      this.#unacknowledged += chunk.length
      if (this.#unacknowledged >= WINDOW) this.#body?.pause()
      if (this.#isOpen) this.#owner.onData(chunk, false)
    })
  }

  /** Its owner has no more interest in it. */
  abandon() {
    this.#isOpen = false
    this.#req?.destroy()
  }

  /** @param {IncomingMessage} res */
  #onResponse(res) {
    const status = /** @type {number} */ (res.statusCode)
    const head = /** @type {any} */ ({ lines: res.rawHeaders, reason: res.statusMessage })
    res.on('end', () => this.#onEnd())
    res.on('error', (error) => {
      this.#fault = error
    })
    if (this.#order.method === 'HEAD' || BODYLESS.has(status) || res.headers['content-length'] === '0') {
      res.resume()
      this.#isOpen = false
      this.#owner.onResponse(status, head, null, true)
      return
    }
    try {
      this.#decode(res)
    } catch (error) {
      this.abandon()
      this.#owner.onFailed(error)
      return
    }
    this.#owner.onResponse(status, head, null, false)
  }

  /** @param {IncomingMessage} res */
  #decode(res) {
    const decoders = decodersOf(res.rawHeaders)
    this.#body = decoders.at(-1) ?? res
    const ended = (/** @type {NodeJS.ErrnoException | null | undefined} */ error) => {
      if (error) this.#fail(this.#fault === undefined ? undecodable(error) : causeFrom(this.#fault))
      else if (this.#isOpen) {
        this.#isOpen = false
        this.#owner.onEnd()
      }
    }
    if (decoders.length === 0) {
      res.on('error', ended).on('end', ended)
      return
    }
    this.#body.on('end', ended)
    pipeline([res, ...decoders], (error) => {
      if (error) ended(error)
    })
  }

  /** The message is complete. A server that did not wait for all of the request gets no more of it. */
  #onEnd() {
    if (!this.#isComplete) this.#req?.destroy()
  }

  /** It is over: without an error and a response, if the server has changed the protocol unasked. */
  #onClose() {
    if (this.#body === null) this.#fail(closedBySomebody())
  }

  /** @param {Error} cause */
  #fail(cause) {
    if (!this.#isOpen) return
    const hasResponse = this.#body !== null
    this.abandon()
    this.#owner.onFailed(fetchFailed(cause, hasResponse ? 'terminated' : undefined))
  }
}

/**
 * An agent whose requests all go the runtime's own way.
 * @param {any} agent
 * @param {Origin} origin
 */
function takingAway(agent, origin) {
  return Object.create(agent, {
    addRequest: {
      value: (/** @type {any} */ req, /** @type {any} */ options) =>
        carryForeign(agent, req, options, origin, LEGACY_SERVER),
    },
  })
}

/** @param {Error} error a decoder's */
function undecodable({ message }) {
  return Object.assign(new Error(message), { code: 'Z_DATA_ERROR' })
}

module.exports = { RuntimeHop }
