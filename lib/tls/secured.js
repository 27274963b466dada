'use strict'

// What a handshake came to: the facts that a TLS socket shows, and whether the peer is the one that was asked for.

const { Buffer } = require('node:buffer')

const { RESUMED } = require('../bridge/layout.js')
const secure = require('../runtime/late.js')
const { trustedCertificates } = require('./trust.js')

const tls = secure.tls()
const { X509Certificate: Certificate } = secure.crypto()

/** @typedef {import('node:crypto').X509Certificate} X509Certificate */

/** @typedef {import('./settings.js').Secure} Secure */

const FIELDS = 6
/** rustls's names of cipher suites begin otherwise. */
const TLS13 = 'TLS13_'

/** The IANA's names of the TLS 1.2 suites and OpenSSL's. */
const OPENSSL_NAMES = /^TLS_(ECDHE)_(ECDSA|RSA)_WITH_(.*)$/

/** @param {string} suite rustls's name */
function cipherOf(suite) {
  if (suite.startsWith(TLS13)) {
    const name = `TLS_${suite.slice(TLS13.length)}`
    return { name, standardName: name, version: 'TLSv1.3' }
  }
  const [, exchange, signature, cipher] = OPENSSL_NAMES.exec(suite) ?? ['', '', '', suite]
  const short = cipher
    .replace(/_POLY1305_SHA256$/, '-POLY1305')
    .replace(/AES_(\d+)/, 'AES$1')
    .replaceAll('_', '-')
  return { name: `${exchange}-${signature}-${short}`, standardName: suite, version: 'TLSv1.2' }
}

class Secured {
  /** Why the peer is not authorized, as a code; null: it is. @type {string | null} */
  authorizationError
  #certificates
  /** @type {X509Certificate[] | undefined} */
  #chain

  /**
   * @param {Secure} secure what was asked for
   * @param {number} flags of SECURED
   * @param {string} text of SECURED
   */
  constructor(secure, flags, text) {
    const fields = []
    let at = 0
    while (fields.length < FIELDS) {
      const end = text.indexOf('\0', at)
      fields.push(text.slice(at, end))
      at = end + 1
    }
    const [protocol, suite, alpn, tlsMs, distrust, keylog] = fields
    this.secure = secure
    this.protocol = protocol
    this.cipher = cipherOf(suite)
    /** @type {string | false} */
    this.alpn = alpn === '' ? false : alpn
    this.tlsMs = Number(tlsMs)
    this.authorizationError = distrust === '' ? null : distrust
    this.keylog = keylog === '' ? [] : keylog.match(/.*\n/g)
    this.isResumed = (flags & RESUMED) !== 0
    this.#certificates = text.slice(at)
  }

  /** The peer's certificate and those it sent along. */
  get chain() {
    if (this.#chain !== undefined) return this.#chain
    const bytes = Buffer.from(this.#certificates, 'latin1')
    this.#chain = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 4 + bytes.readUInt32LE(at)
      this.#chain.push(new Certificate(bytes.subarray(at + 4, end)))
      at = end
    }
    return this.#chain
  }

  /**
   * Why the certificate is not the peer's; undefined: it is.
   * @returns {(Error & { code?: string }) | undefined}
   */
  identityError() {
    const { checkServerIdentity, hostname } = this.secure
    return (checkServerIdentity ?? tls.checkServerIdentity)(hostname, this.peerCertificate(true))
  }

  /** @param {boolean} detailed */
  peerCertificate(detailed) {
    const [leaf, ...others] = this.chain
    if (leaf === undefined) return {}
    return detailed ? withIssuers(leaf, others, this.secure.ca) : legacy(leaf)
  }

  /** Our own certificate, if we have one. */
  ownCertificate() {
    const { cert } = this.secure
    return cert === undefined ? {} : legacy(new Certificate(cert))
  }
}

/**
 * A certificate as the runtime's sockets show it.
 * @param {X509Certificate} certificate
 * @returns {any}
 */
function legacy(certificate) {
  const shown = /** @type {any} */ (certificate.toLegacyObject())
  if (typeof shown.infoAccess === 'string') shown.infoAccess = parseInfoAccess(shown.infoAccess)
  return shown
}

/**
 * @param {string} text lines of `method:location`
 */
function parseInfoAccess(text) {
  const access = Object.create(null)
  for (const line of text.split('\n')) {
    const [, method, location] = /^([^:]*):(.*)$/.exec(line) ?? []
    if (method === undefined) continue
    // A location that could be read in two ways is quoted.
    const value = location.startsWith('"') ? JSON.parse(location) : location
    access[method] ??= []
    access[method].push(value)
  }
  return access
}

/**
 * A certificate, linked to its issuer's, that to its own, and so on, as far as they are known.
 * @param {X509Certificate} leaf
 * @param {X509Certificate[]} sent
 * @param {unknown} ca
 */
function withIssuers(leaf, sent, ca) {
  const first = legacy(leaf)
  const left = [...sent]
  let certificate = leaf
  let shown = first
  while (certificate.subject !== certificate.issuer) {
    const child = certificate
    const at = left.findIndex((candidate) => child.checkIssued(candidate))
    const issuer = at >= 0 ? left.splice(at, 1)[0] : trustedIssuer(child, ca)
    if (issuer === undefined) return first
    shown.issuerCertificate = legacy(issuer)
    shown = shown.issuerCertificate
    certificate = issuer
  }
  shown.issuerCertificate = shown
  return first
}

/**
 * @param {X509Certificate} certificate
 * @param {unknown} ca
 */
function trustedIssuer(certificate, ca) {
  for (const pem of trustedCertificates(ca)) {
    try {
      const candidate = new Certificate(pem)
      if (certificate.checkIssued(candidate)) return candidate
    } catch {
      // A certificate that the runtime can't read is nobody's issuer.
    }
  }
  return undefined
}

module.exports = { cipherOf, Secured }
