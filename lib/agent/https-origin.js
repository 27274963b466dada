'use strict'

// An origin reached with TLS: what its connections have in common beside its name.

const { now } = require('../runtime/captured.js')
const { isSecureContextReplaced } = require('../runtime/genuine.js')
const { fallBack, runtimeUses } = require('../client-request/fallback.js')
const { CONTEXT_REPLACED } = require('../client-request/fallback-reasons.js')
const { rewind } = require('../client-request/rewind.js')
const native = require('../bridge/native.js')
const { nameOf } = require('../common/options/merge.js')
const { Origin } = require('./origin.js')
const { ignoresAgents, isDeno } = require('../runtime/probes.js')
const { crypto } = require('../runtime/late.js')
const { shadow } = require('../exchange/queue.js')
const { isBeyondEngine, LEGACY_SERVER, recallLegacy, rememberLegacy, RENEGOTIATION } = require('../tls/legacy.js')
const { isDefaultCheck } = require('../tls/settings.js')
const { createTlsSocket } = require('../socket/tls-socket.js')

/** @typedef {import('./origins.js').Origins} Origins */
/** @typedef {import('../client-request/exchange.js').ClientExchange} ClientExchange */
/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('../exchange/connection.js').Connection} Connection */
/** @typedef {import('../tls/settings.js').Secure} Secure */
/** @typedef {Record<string, any>} Options */

/** Enough to tell one agent's settings from another's. */
const DIGITS = 8

/**
 * A name for reports: without certificates, and above all without keys and passphrases.
 * @param {string} name
 * @param {Options} options
 */
function labelOf(name, options) {
  const plain = nameOf({}, options)
  const { servername, host } = options
  const sent = servername && servername !== host ? servername : ''
  const told = sent === '' ? plain : `${plain}:servername=${sent}`
  // What else is in it are options for TLS.
  if (name.slice(plain.length).replaceAll(':', '') === sent) return told
  return `${told}:tls=${crypto().createHash('sha256').update(name).digest('hex').slice(0, DIGITS)}`
}

class SecureOrigin extends Origin {
  #keylog = false
  /** Whether the engine has shaken hands with its server. */
  isProven = false
  /**
   * Until when, by the thread's clock, and why its requests fall back to the runtime's sockets at once; undefined: they don't.
   * @type {import('../tls/legacy.js').Memory | undefined}
   */
  #legacy = undefined
  #identity
  /** How its connections are secured; a text: why only the runtime can do it. @type {Secure | string} */
  secure

  /**
   * @param {Origins} origins
   * @param {string} name
   * @param {Options} options those of the first request, merged
   * @param {Secure | string} secure
   * @param {boolean} isUsual whether the name is what our agents call it
   * @param {import('../common/proxies/agent-proxy.js').AgentProxy | undefined} proxy
   * @param {string} suffix of its name, after what tells connections apart
   */
  constructor(origins, name, options, secure, isUsual, proxy, suffix) {
    // Names hold certificates and keys: the engine has no use for them.
    const place = `${nameOf({}, options)}:${crypto().createHash('sha256').update(name).digest('base64')}`
    const identity = typeof secure === 'string' ? place : `${place}\0${secure.id}`
    super(origins, name, options, proxy, suffix, origins.identity(identity, isUsual), labelOf(name, options))
    if (typeof secure !== 'string') native.holdTls(origins.id, this.key, secure.id)
    this.secure = secure
    this.#identity = identity
  }

  get scheme() {
    return 'https'
  }

  get route() {
    return ''
  }

  /** Nothing goes past a proxy. */
  get #mayLeave() {
    return this.proxy === undefined || runtimeUses(this.origins.agent, this.proxy)
  }

  /** Why its server is known to be one for the runtime's own TLS; undefined: it isn't. */
  get legacyReason() {
    if (!this.#mayLeave) return undefined
    // Another agent may have learned it.
    this.#legacy ??= recallLegacy(this.#identity)
    if (this.#legacy === undefined) return undefined
    if (now() < this.#legacy.until) return this.#legacy.reason
    this.#legacy = undefined
    return undefined
  }

  /**
   * Why only the runtime can carry a request; undefined: the engine can.
   * @param {Options} wanted
   */
  fallbackReason(wanted) {
    if (typeof this.secure === 'string') return `tls-${this.secure}`
    // It may know of its request alone, so no other may have its connection: newer runtimes see to that.
    if (!isDefaultCheck(wanted.checkServerIdentity)) return 'tls-request-identity'
    if (isSecureContextReplaced() && this.#mayLeave) return CONTEXT_REPLACED
    return this.legacyReason
  }

  /**
   * What a request is told about timeouts is told to its socket, which may turn out not to be the last one.
   * @param {Exchange} exchange
   */
  onDial(exchange) {
    shadow(exchange.req, 'setTimeout', (ms) => exchange.noteTimeout(ms))
  }

  /**
   * The engine could not shake hands: whether the runtime is to try, whose own TLS may know what it does not.
   * @param {boolean} isLikely whether the server has said so, else it has ended the connection without a word
   */
  handsOver(isLikely) {
    return !ignoresAgents && this.#mayLeave && (isLikely || !this.isProven)
  }

  /**
   * What comes of that is the outcome.
   * @param {ClientExchange} exchange
   * @param {boolean} isLikely
   */
  takeOver(exchange, isLikely) {
    if (!this.handsOver(isLikely)) return false
    const { agent, options, req } = exchange
    const connection = /** @type {Connection} */ (exchange.connection)
    const spentMs = now() - connection.dialedAt
    rewind(exchange)
    try {
      fallBack(agent, req, options, this, LEGACY_SERVER, spentMs)
    } catch (error) {
      // The runtime refuses its options, and nobody is there to catch it any more.
      req.destroy(error)
    }
    return true
  }

  /**
   * @param {import('node:net').Socket} socket
   * @param {string | undefined} reason why it is one of the runtime's
   */
  onSocket(socket, reason) {
    if (reason !== LEGACY_SERVER || this.legacyReason !== undefined) return
    socket.once('secureConnect', () => {
      // What a stranger on the way can say, a plain alert or a close, is no proof. This is: both ends have signed it.
      if (!isBeyondEngine(/** @type {import('node:tls').TLSSocket} */ (socket))) return
      this.#remember(LEGACY_SERVER)
    })
  }

  /** The server has asked for another handshake on a connection of the engine's, and a request has failed after that. */
  noteRenegotiation() {
    // Deno's own TLS is the engine's.
    if (!ignoresAgents && !isDeno && this.#mayLeave && this.legacyReason === undefined) this.#remember(RENEGOTIATION)
  }

  /** @param {string} reason */
  #remember(reason) {
    this.#legacy = rememberLegacy(this.#identity, reason)
    // Our own requests ask once for all that are alike.
    this.origins.templates.clear()
  }

  /**
   * @param {any} agent
   * @param {Options} options a request's
   */
  profile(agent, options) {
    this.#watchKeylog(agent)
    return super.profile(agent, options)
  }

  /**
   * @param {any} agent
   * @param {Options} options a request's
   */
  plainProfile(agent, options) {
    this.#watchKeylog(agent)
    return super.plainProfile(agent, options)
  }

  /**
   * @param {any} agent
   * @param {Options} options a request's
   */
  describe(agent, options) {
    const { id, servername } = /** @type {Secure} */ (this.secure)
    return { ...super.describe(agent, options), tls: id, servername, keylog: this.#keylog }
  }

  /**
   * @param {Connection} connection
   * @param {Options} options
   */
  createSocket(connection, options) {
    return createTlsSocket(connection, options)
  }

  /** @param {any} agent */
  #watchKeylog(agent) {
    const keylog = agent.listenerCount('keylog') > 0
    if (keylog === this.#keylog) return
    this.#keylog = keylog
    this.forgetProfiles()
  }
}

module.exports = { SecureOrigin }
