'use strict'

// One request of a fetch that only the runtime's sockets can carry: the runtime's own request, within the limits of an agent. The
// engine has nothing in common with the server, or the program may not connect to it, or somebody mocks requests;
// nothing of the fetch has been sent.

const http = require('node:http')
const { isIP } = require('node:net')

const { fallBack } = require('../client-request/fallback.js')
const { ClientRequest } = require('../runtime/genuine.js')
const { isDeno } = require('../runtime/probes.js')
const { https } = require('../runtime/late.js')
const { decoded } = require('./decoding.js')
const { WINDOW } = require('../bridge/layout.js')
const { causeFrom, closedBySomebody, fetchFailed } = require('./errors.js')
const { requestHeaders } = require('./head.js')

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('../agent/origin.js').Origin} Origin */
/** @typedef {import('./request.js').FetchRequest} FetchRequest */
/** @typedef {import('./handler.js').Owner} Owner */

/** Statuses of responses that have no body. */
const BODYLESS = new Set([204, 304])

class RuntimeHandler {
  /** Others may hold the memory of what comes. */
  ownsChunks = false
  #request
  #owner
  /** @type {import('node:http').ClientRequest | null} */
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
   * @param {FetchRequest} request
   * @param {Owner} owner
   */
  constructor(request, owner) {
    this.#request = request
    this.#owner = owner
  }

  /**
   * @param {import('node:http').ClientRequest} req
   * @param {import('./channels.js').Trace} trace
   */
  #tell(req, trace) {
    req.on('socket', (/** @type {any} */ socket) => {
      const tell = () => {
        trace.sendHead(this.#request, socket, true)
        // 'finish' can come after the response.
        if (this.#isComplete) trace.sendEnd()
      }
      if (socket.connecting) socket.once(socket.encrypted ? 'secureConnect' : 'connect', tell)
      else tell()
    })
  }

  /** Whether the request's body is yet to be sent. */
  get isStream() {
    const { body } = this.#request
    return body !== null && typeof body === 'object' && !(body instanceof Uint8Array)
  }

  /**
   * @param {any} agent
   * @param {Origin} origin
   * @param {string} reason why only the runtime can carry it
   * @param {boolean} isMocked whether somebody mocks requests
   */
  start(agent, origin, reason, isMocked) {
    const { body, method, target } = this.#request
    const { host, port } = target.wanted
    const { path, protocol } = target
    const headers = requestHeaders(this.#request)
    const options = { agent: takingAway(agent, origin, reason), protocol, host, port, method, path, headers }
    const req = requested(options, isMocked)
    this.#req = req
    req.on('error', (error) => this.#fail(causeFrom(error)))
    req.on('close', () => this.#onClose())
    req.on('response', (res) => this.#onResponse(res))
    if (this.#request.trace !== null) this.#tell(req, this.#request.trace)
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
      this.#request.trace?.sendEnd()
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
    this.#req?.socket?.ref()
    this.#body?.on('data', (chunk) => {
      this.#unacknowledged += chunk.length
      if (this.#unacknowledged >= WINDOW) this.#body?.pause()
      if (this.#isOpen) this.#owner.onData(chunk, false)
    })
  }

  /** The runtime's socket does that, while it is read. */
  keepAlive() {}

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
    if (this.#request.method === 'HEAD' || BODYLESS.has(status) || res.headers['content-length'] === '0') {
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
    // A body that nobody reads keeps no process alive.
    this.#req?.socket?.unref()
    this.#owner.onResponse(status, head, null, false)
  }

  /** @param {IncomingMessage} res */
  #decode(res) {
    const body = decoded(res)
    this.#body = body
    body.on('error', (error) => this.#fail(this.#fault === undefined ? error : causeFrom(this.#fault)))
    body.on('end', () => {
      if (!this.#isOpen) return
      this.#isOpen = false
      this.#owner.onEnd()
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
    this.#owner.onFailed(
      refusal(cause, this.#request.target) ?? fetchFailed(cause, hasResponse ? 'terminated' : undefined),
    )
  }
}

/**
 * @param {any} options
 * @param {boolean} isMocked
 */
function requested(options, isMocked) {
  try {
    // Mocks must hear of it; who counts requests must not, since it is a fetch.
    return isMocked ? (options.protocol === 'https:' ? https() : http).request(options) : new ClientRequest(options)
  } catch (error) {
    throw fetchFailed(error)
  }
}

/**
 * An agent whose requests all fall back to the runtime's sockets.
 * @param {any} agent
 * @param {Origin} origin
 * @param {string} reason
 */
function takingAway(agent, origin, reason) {
  return Object.create(agent, {
    addRequest: {
      value: (/** @type {any} */ req, /** @type {any} */ options) => fallBack(agent, req, options, origin, reason),
    },
  })
}

/**
 * What Deno's own fetch rejects with as it is: its program may not connect to this host. An address that a name stands for is
 * the cause of a failure like others.
 * @param {Error & { code?: string, syscall?: string }} cause
 * @param {import('./target.js').Target} target
 */
function refusal(cause, { wanted: { host, port } }) {
  if (!isDeno) return undefined
  if (cause.name === 'NotCapable') return isIP(host) === 0 ? undefined : cause
  if (cause.code !== 'EPERM' || cause.syscall !== 'getaddrinfo') return undefined
  const { NotCapable } = /** @type {any} */ (globalThis).Deno.errors
  return new NotCapable(`Requires net access to "${host}:${port}", run again with the --allow-net flag`)
}

module.exports = { RuntimeHandler }
