'use strict'

// Certificates made when a test needs them: authorities, servers' and clients' certificates, revocation lists. Nothing of
// it is kept, so nothing of it expires.

globalThis.crypto ??= require('node:crypto').webcrypto
const x509 = require('@peculiar/x509')

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 86_400_000

const EKU = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' }

let serial = 0x1000

const days = (n) => new Date(Date.now() + n * DAY_MS)

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]) }

/** Kinds of keys. */
const KINDS = {
  'P-256': ALGORITHM,
  'P-521': { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
  'RSA 1024': { ...RSA, modulusLength: 1024 },
  'RSA 2048': { ...RSA, modulusLength: 2048 },
}

async function newKeys(kind) {
  return crypto.subtle.generateKey(KINDS[kind], true, ['sign', 'verify'])
}

async function pemOf(key) {
  const bytes = Buffer.from(await crypto.subtle.exportKey('pkcs8', key))
  return `-----BEGIN PRIVATE KEY-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`
}

/** A certificate, its key, and what it can issue. */
class Certificate {
  /**
   * @param {object} wanted
   * @param {string} wanted.name the subject's common name
   * @param {string[]} [wanted.dns] alternative names
   * @param {string[]} [wanted.ip]
   * @param {boolean} [wanted.ca]
   * @param {number} [wanted.from] days from now
   * @param {number} [wanted.until]
   * @param {number} [wanted.keyUse] flags; 0: any use
   * @param {'server' | 'client'} [wanted.use] extended key usage
   * @param {keyof KINDS} [wanted.kind] of its key
   * @param {x509.Extension[]} [wanted.extensions]
   * @param {Certificate} [issuer] none: it issues itself
   */
  static async make(wanted, issuer) {
    const { name, dns = [], ip = [], ca = false, from = -10, until = 10, use, kind = 'P-256', extensions = [] } = wanted
    const { keyCertSign, cRLSign } = x509.KeyUsageFlags
    const { keyUse = ca ? keyCertSign | cRLSign : 0 } = wanted
    const keys = await newKeys(kind)
    const names = [...dns.map((value) => ({ type: 'dns', value })), ...ip.map((value) => ({ type: 'ip', value }))]
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (++serial).toString(16),
      subject: `O=keepwire, CN=${name}`,
      issuer: issuer ? issuer.certificate.subject : `O=keepwire, CN=${name}`,
      notBefore: days(from),
      notAfter: days(until),
      publicKey: keys.publicKey,
      signingKey: issuer ? issuer.keys.privateKey : keys.privateKey,
      signingAlgorithm: KINDS[issuer ? issuer.kind : kind],
      extensions: [
        new x509.BasicConstraintsExtension(ca, undefined, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        ...(issuer ? [await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey)] : []),
        ...(keyUse ? [new x509.KeyUsagesExtension(keyUse, true)] : []),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        ...(use ? [new x509.ExtendedKeyUsageExtension([EKU[use]])] : []),
        ...extensions,
      ],
    })
    const made = new Certificate()
    Object.assign(made, {
      keys,
      kind,
      certificate,
      pem: `${certificate.toString('pem')}\n`,
      key: await pemOf(keys.privateKey),
    })
    return made
  }

  issue(wanted) {
    return Certificate.make(wanted, this)
  }

  /** A list of what this authority has revoked. */
  async revoke(...certificates) {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.certificate.subject,
      thisUpdate: days(-1),
      nextUpdate: days(1),
      signingAlgorithm: KINDS[this.kind],
      signingKey: this.keys.privateKey,
      entries: certificates.map(({ certificate }) => ({
        serialNumber: certificate.serialNumber,
        revocationDate: days(-1),
        // Without one there would be an empty list of extensions, at which BoringSSL takes offence.
        reason: x509.X509CrlReason.keyCompromise,
      })),
      extensions: [await x509.AuthorityKeyIdentifierExtension.create(this.keys.publicKey)],
    })
    // The label that OpenSSL wants.
    return `${list.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL')}\n`
  }
}

/** The certificates that most tests use. */
async function makeAuthority() {
  const root = await Certificate.make({ name: 'Root', ca: true })
  const server = await root.issue({ name: 'localhost', dns: ['localhost'], ip: ['127.0.0.1'], use: 'server' })
  return { root, server }
}

module.exports = { Certificate, makeAuthority, x509 }
