'use strict'

// An origin reached with TLS: what its connections have in common beside its name.

const { createHash } = require('node:crypto')

const { nameOf } = require('../options.js')
const { Origin } = require('../origins.js')
const { createTlsView } = require('./view.js')

/** @typedef {import('../origins.js').Origins} Origins */
/** @typedef {import('../connection.js').Connection} Connection */
/** @typedef {import('./settings.js').Secure} Secure */
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
  return `${told}:tls=${createHash('sha256').update(name).digest('hex').slice(0, DIGITS)}`
}

class SecureOrigin extends Origin {
  #keylog = false
  /** How its connections are secured; a text: why only the runtime can do it. @type {Secure | string} */
  secure

  /**
   * @param {Origins} origins
   * @param {string} name
   * @param {Options} options those of the first request, merged
   * @param {Secure | string} secure
   * @param {boolean} isUsual whether the name is what our agents call it
   */
  constructor(origins, name, options, secure, isUsual) {
    const identity = typeof secure === 'string' ? name : `${name}\0${secure.id}`
    super(origins, name, options, origins.identity(identity, isUsual), labelOf(name, options))
    this.secure = secure
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
  createView(connection, options) {
    return createTlsView(connection, options)
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
