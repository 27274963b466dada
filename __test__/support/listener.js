'use strict'

// Servers on loopback that speak raw bytes, over TCP or over TLS.

const net = require('node:net')
const { Duplex } = require('node:stream')
const tls = require('node:tls')

const { isNode, major } = require('./runtime')

/**
 * @typedef {object} Identity whom a server proves to be
 * @property {string} pem its certificate
 * @property {string} key
 * @property {string} ca the authority that clients must trust
 */

/**
 * A connection has ended when `raw` has: not every runtime tells `stream`.
 *
 * @param {Identity | undefined} identity none: TCP
 * @param {(stream: net.Socket, raw: net.Socket, cable?: Cable) => void} onConnection `stream`: what is said; `raw`: the
 *   TCP connection; `cable`: what lies between them over TLS
 */
function createListener(identity, onConnection) {
  const context = identity && tls.createSecureContext({ cert: identity.pem, key: identity.key })
  return net.createServer({ noDelay: true }, (raw) => {
    raw.on('error', () => {})
    if (context === undefined) return onConnection(raw, raw)
    // Node's TLS over a stream of JavaScript stalls once in some ten thousand connections: only for what needs one.
    if (isNode && major >= 20 && onConnection.length < 3) {
      const direct = new tls.TLSSocket(raw, { isServer: true, secureContext: context })
      direct.on('error', () => {})
      return onConnection(direct, raw)
    }
    const cable = new Cable(raw)
    const stream = new tls.TLSSocket(cable, { isServer: true, secureContext: context })
    stream.on('error', () => {})
    raw.on('close', () => stream.destroy())
    onConnection(stream, raw, cable)
  })
}

/** The connection under a server's TLS, whose bytes to the client can be cut anywhere. */
class Cable extends Duplex {
  #raw
  #left = Infinity
  #cut = () => {}
  #attached = Buffer.alloc(0)
  #tap = (_bytes) => {}

  /** @param {net.Socket} raw */
  constructor(raw) {
    super()
    this.#raw = raw
    // What comes when nothing goes back any more is dropped: behind bytes that nobody reads, an end would not be heard.
    const isOver = () => this.#left === 0 && raw.writableEnded
    raw.on('data', (bytes) => {
      if (!isOver() && !this.push(bytes)) raw.pause()
    })
    raw.on('finish', () => isOver() && raw.resume())
    raw.on('end', () => this.push(null))
    raw.on('close', () => this.destroy())
    this.on('error', () => {})
  }

  /** Lets so many more bytes of TLS through, then calls `cut(raw)`; the rest is lost. */
  cutAfter(bytes, cut) {
    this.#left = bytes
    this.#cut = cut
    if (bytes === 0) cut(this.#raw)
  }

  /** Puts bytes behind the next piece of TLS, into the same packet. */
  attach(bytes) {
    this.#attached = bytes
  }

  /** Shows what is sent to the client. @param {(bytes: Buffer) => void} tap */
  watch(tap) {
    this.#tap = tap
  }

  _read() {
    this.#raw.resume()
  }

  _write(bytes, _encoding, done) {
    if (this.#left === 0) return done()
    this.#tap(bytes)
    const part = bytes.subarray(0, this.#left)
    this.#left -= part.length
    const attached = this.#attached
    this.#attached = Buffer.alloc(0)
    this.#raw.write(Buffer.concat([part, attached]), () => {
      if (this.#left === 0) this.#cut(this.#raw)
      done()
    })
  }

  _final(done) {
    this.#raw.end(done)
  }

  _destroy(error, done) {
    this.#raw.destroy()
    done(error)
  }
}

/** Closes a TCP connection with a reset, where the runtime can. */
function reset(raw) {
  if (typeof raw.resetAndDestroy !== 'function') raw.destroy()
  // While its end is being sent, Node's refuses with EINVAL, and such a socket never tells of its close.
  else if (raw.writableEnded && raw.writableLength === 0 && !raw.writableFinished) raw.once('finish', () => reset(raw))
  else raw.resetAndDestroy()
}

module.exports = { Cable, createListener, reset }
