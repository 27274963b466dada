'use strict'

// Names are looked up by the engine, as the system says, unless somebody has put something in the place of dns.lookup (a
// tracer, a mock, a cache, a filter), gives a `lookup`, or judges addresses. The engine then has this thread call it, once for
// each connection that it opens, with what the runtime's net would give to it, and connects to what it answers.

const { isIP } = require('node:net')

const { nextTick } = require('../runtime/captured.js')
const { judged, refusalOfPath, unjudged } = require('../common/addresses.js')
const { optionError } = require('../common/errors.js')
const { pick } = require('../common/options/merge.js')
const { dns } = require('../runtime/late.js')
const { defaultAutoSelectFamily, isWindows } = require('../runtime/probes.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */
/** @typedef {import('./connection.js').Connection} Connection */
/** @typedef {{ address: unknown, family: unknown }} Address */

/** More than anybody tries. */
const MOST_ADDRESSES = 1024

/**
 * @param {Connection} connection that is being opened
 * @param {Exchange | null} exchange it is opened for
 */
function lookUp(connection, exchange) {
  const { origin } = connection
  const options = exchange?.options ?? origin.options
  const option = (/** @type {string} */ name) => pick(origin.origins.agent.options, options, name)
  const { host, port } = peerOf(origin.proxy, { host: option('host') || 'localhost', port: option('port') })
  const family = option('family')
  const isOpen = family !== 4 && family !== 6
  const wanted = /** @type {Record<string, unknown>} */ ({ family, hints: isOpen && !isWindows ? dns().ADDRCONFIG : 0 })
  const { addresses, allowAddress } = origin.origins.agent.options
  const races = isOpen && !option('localAddress') && (option('autoSelectFamily') ?? defaultAutoSelectFamily())
  if (races || addresses === 'spread') wanted.all = true
  const answer = new Answer(connection, exchange, host, port, allowAddress)
  if (option('socketPath')) {
    answer.fail(refusalOfPath(option('socketPath')))
    return
  }
  if (isIP(host) !== 0) {
    answer.literal()
    return
  }
  exchange?.setLookingUp(true)
  try {
    // As the runtime calls it: without its module.
    const lookup = unjudged(option('lookup')) || dns().lookup
    lookup(
      host,
      wanted,
      wanted.all
        ? (/** @type {any} */ error, /** @type {any} */ addresses) => answer.all(error, addresses)
        : (/** @type {any} */ error, /** @type {any} */ ip, /** @type {any} */ type) => answer.one(error, ip, type),
    )
  } catch (error) {
    answer.fail(error)
  }
}

/**
 * Who is looked up: on the way through a proxy the proxy alone, unless it wants an address of the target and that has a name.
 * @param {Connection['origin']['proxy']} proxy
 * @param {{ host: string, port: unknown }} target
 * @returns {{ host: string, port: unknown }}
 */
function peerOf(proxy, target) {
  if (proxy === undefined) return target
  return proxy.asksForTarget && isIP(target.host) === 0 ? target : proxy
}

/** What comes of a look-up, told as the runtime's net tells it. */
class Answer {
  #connection
  #exchange
  #host
  #port
  #allow
  #isThere = false

  /**
   * @param {Connection} connection
   * @param {Exchange | null} exchange
   * @param {string} host
   * @param {unknown} port
   * @param {import('../common/addresses.js').AllowAddress} [allow]
   */
  constructor(connection, exchange, host, port, allow) {
    this.#connection = connection
    this.#exchange = exchange
    this.#host = host
    this.#port = port
    this.#allow = allow
  }

  /** There was nothing to look up. */
  literal() {
    this.#connect([this.#host])
  }

  /**
   * @param {any} error
   * @param {any} ip
   * @param {any} type
   */
  one(error, ip, type) {
    if (!this.#isFirst()) return
    this.#tell(error, ip, type)
    if (this.#connection.isGone) return
    if (error) this.fail(error)
    else if (!isAddress(ip)) this.fail(notAnAddress(ip))
    else if (type !== 4 && type !== 6) this.fail(notAFamily(type, this.#host, this.#port))
    else this.#connect([ip])
  }

  /**
   * @param {any} error
   * @param {Address[]} addresses
   */
  all(error, addresses) {
    if (!this.#isFirst() || this.#connection.isGone) return
    if (error) {
      this.#tell(error, undefined, undefined)
      this.fail(error)
      return
    }
    const usable = []
    for (const { address, family } of addresses) {
      this.#tell(error, address, family)
      if (this.#connection.isGone) return
      if (isAddress(address) && (family === 4 || family === 6)) usable.push(String(address))
    }
    if (usable.length > 0) {
      this.#connect(usable)
      return
    }
    const [first] = addresses
    if (isAddress(first?.address)) this.fail(notAFamily(first.family, this.#host, this.#port))
    else this.fail(notAnAddress(first?.address))
  }

  /** Whoever is asked may answer twice. */
  #isFirst() {
    if (this.#isThere) return false
    this.#isThere = true
    this.#exchange?.setLookingUp(false)
    return true
  }

  /**
   * @param {unknown} error
   * @param {unknown} ip
   * @param {unknown} type
   */
  #tell(error, ip, type) {
    const { isConnected, isGuarded, socket } = this.#connection
    this.#connection.isLookedUp = true
    // That a connection takes the place of a dead one is none of the user's business, unless they judge connections.
    if (isConnected && !isGuarded) return
    let isTold = false
    try {
      socket.emit('lookup', error, ip, type, this.#host)
      isTold = true
    } finally {
      // A listener that throws has not agreed to the address.
      if (!isTold) socket.destroy()
    }
  }

  /** @param {string[]} addresses */
  #connect(addresses) {
    const { id, port } = this.#connection
    const { allowed, refusal } = judged(this.#allow, addresses.slice(0, MOST_ADDRESSES), this.#host)
    if (allowed.length > 0) port.submission.resolved(id, allowed)
    else this.fail(refusal)
  }

  /** @param {any} error */
  fail(error) {
    this.#isThere = true
    nextTick(fail, this.#connection, error)
  }
}

/**
 * @param {Connection} connection
 * @param {Error} error
 */
function fail(connection, error) {
  if (connection.isGone) return
  connection.origin.noteError(error)
  connection.exchange?.pass?.noteFailure()
  connection.socket.destroy(error)
}

/** @param {unknown} ip */
function isAddress(ip) {
  return typeof ip === 'string' && isIP(ip) !== 0
}

/** @param {unknown} ip */
function notAnAddress(ip) {
  return optionError(TypeError, 'ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${ip}`)
}

/**
 * @param {unknown} type
 * @param {string} host
 * @param {unknown} port
 */
function notAFamily(type, host, port) {
  const error = optionError(RangeError, 'ERR_INVALID_ADDRESS_FAMILY', `Invalid address family: ${type} ${host}:${port}`)
  return Object.assign(error, { host, port })
}

module.exports = { lookUp }
