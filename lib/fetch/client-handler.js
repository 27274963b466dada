'use strict'

// One request of a fetch over TLS whose user has named reqwest's client, which carries it: over HTTP/2 with servers that choose it.

const {
  FETCH_BODY_STREAM,
  FETCH_BODY_WHOLE,
  MAY_DO,
  MESSAGE_END,
  MIGHT_DO,
  RENEGOTIATES,
} = require('../bridge/layout.js')
const { threadPort } = require('../bridge/port.js')
const native = require('../bridge/native.js')
const { isSecureContextReplaced } = require('../runtime/genuine.js')
const { isAltered, secureOf } = require('../tls/settings.js')
const { BaseHandler } = require('./base-handler.js')
const { httpsAgent, httpsOrigin } = require('./default-agents.js')
const { bodyFailed, fetchFailed } = require('./errors.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */
/** @typedef {import('./handler.js').Owner} Owner */

/** As the runtime's agents do by default. */
const MOST_SESSIONS = 100
const OPTIONS = Object.freeze({ ALPNProtocols: ['h2', 'http/1.1'] })

/** The number of this thread's client, while nothing but the process's options says how TLS is to be spoken. */
let usual = -1

function clientNumber() {
  if (usual >= 0 && !isAltered()) return usual
  const secure = isSecureContextReplaced() ? 'tls.createSecureContext' : secureOf(OPTIONS, MOST_SESSIONS)
  if (typeof secure === 'string') {
    throw fetchFailed(new Error(`only the runtime's own TLS can honour the options of this process (${secure})`))
  }
  const number = native.fetchClient(secure.id)
  if (!isAltered()) usual = number
  return number
}

class ClientHandler extends BaseHandler {
  #owner
  #request
  #head

  /**
   * @param {FetchRequest} request
   * @param {Owner} owner
   * @param {string} head what the client is told of the request (head.js)
   */
  constructor(request, owner, head) {
    super(null, request.target.wanted)
    this.port = threadPort()
    this.#request = request
    this.#owner = owner
    this.#head = head
  }

  start() {
    const { body } = this.#request
    const { submission } = this.port
    const number = clientNumber()
    this.open()
    const isWhole = typeof body === 'string' || body instanceof Uint8Array
    const flags = body === null ? 0 : isWhole ? FETCH_BODY_WHOLE : FETCH_BODY_STREAM
    submission.fetch(this.id, flags, number, this.#head)
    this.#request.trace?.sendHead(this.#request, null, true)
    if (isWhole) {
      submission.write(this.id, body, null, 0)
      submission.end(this.id, 0)
    } else if (body !== null) {
      this.#owner.onReady()
      return
    }
    this.#request.trace?.sendEnd()
  }

  /**
   * @param {Uint8Array} bytes
   * @param {boolean} isLast
   */
  send(bytes, isLast) {
    if (this.isSettled) return
    if (bytes.byteLength > 0) this.port.submission.write(this.id, bytes, null, 0)
    if (!isLast) return
    this.port.submission.end(this.id, 0)
    this.#request.trace?.sendEnd()
  }

  abandon() {
    if (this.isSettled) return
    this.port.submission.abortFetch(this.id)
    this.settle()
  }

  onSent() {
    this.#owner.onTaken()
  }

  /**
   * @param {number} status
   * @param {number} flags
   * @param {import('../bridge/response-heads.js').Head} head
   * @param {Buffer | null} body
   */
  onHead(status, flags, head, body) {
    const ended = (flags & MESSAGE_END) !== 0
    if (ended) this.settle()
    this.#owner.onResponse(status, head, body, ended)
  }

  /**
   * @param {number} _flags
   * @param {Buffer} chunk
   */
  onData(_flags, chunk) {
    this.noteReturned(chunk)
    this.#owner.onData(chunk, false)
  }

  onEnd() {
    this.settle()
    this.#owner.onEnd()
  }

  /**
   * @param {number} flags
   * @param {number} errno
   * @param {string} text
   */
  onError(flags, errno, text) {
    this.settle()
    const error = bodyFailed(flags, text, errno)
    if ((flags & RENEGOTIATES) !== 0) httpsOrigin(this.#request).noteRenegotiation()
    if ((flags & (MAY_DO | MIGHT_DO)) !== 0) {
      const origin = httpsOrigin(this.#request)
      if (origin.handsOver((flags & MAY_DO) !== 0)) {
        this.#owner.onUnmatched(httpsAgent(), origin)
        return
      }
      origin.noteError(/** @type {Error} */ (error.cause))
    }
    this.#owner.onFailed(error)
  }

  onStalled() {
    this.#owner.onStalled()
  }
}

module.exports = { ClientHandler }
