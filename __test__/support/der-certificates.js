'use strict'

// Certificates and revocation lists written byte by byte, right or wrong in any way that a test asks for. Keys are made once
// and used again: a test of chains is about what certificates say.

const { createHash, generateKeyPairSync, sign } = require('node:crypto')

const DAY_S = 86_400

/**
 * @param {number} tag
 * @param {...(Buffer | Buffer[])} values
 */
function element(tag, ...values) {
  const value = Buffer.concat(values.flat())
  const { length } = value
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), value])
  const bytes = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length]), bytes, value])
}

const sequence = (...values) => element(0x30, ...values)
const set = (...values) => element(0x31, ...values)
const octets = (...values) => element(0x04, ...values)
const bits = (bytes, unused = 0) => element(0x03, Buffer.from([unused]), Buffer.from(bytes))
const integer = (hex) => element(0x02, Buffer.from(hex, 'hex'))
const TRUE = Buffer.from('0101ff', 'hex')

/** @param {string} dotted */
function objectId(dotted) {
  const [first, second, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const groups = [part & 0x7f]
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return element(0x06, Buffer.from(bytes))
}

const STRINGS = {
  utf8: (text) => element(0x0c, Buffer.from(text)),
  numeric: (text) => element(0x12, Buffer.from(text)),
  printable: (text) => element(0x13, Buffer.from(text)),
  teletex: (text) => element(0x14, Buffer.from(text, 'latin1')),
  ia5: (text) => element(0x16, Buffer.from(text)),
  bmp: (text) => element(0x1e, Buffer.from(text, 'utf16le').swap16()),
  universal: (text) => element(0x1c, ...[...text].map((c) => Buffer.from([0, 0, 0, c.charCodeAt(0)]))),
}

const ATTRIBUTES = { CN: '2.5.4.3', O: '2.5.4.10', OU: '2.5.4.11', C: '2.5.4.6', E: '1.2.840.113549.1.9.1' }

/** @typedef {[keyof typeof ATTRIBUTES, string, (keyof typeof STRINGS)?]} Attribute */

/** @param {Attribute} attribute */
const attributeOf = ([type, text, kind = 'utf8']) => sequence(objectId(ATTRIBUTES[type]), STRINGS[kind](text))

/** @param {...(Attribute | Attribute[])} parts a part of several attributes is one set */
function nameOf(...parts) {
  return sequence(
    ...parts.map((part) => set(...(Array.isArray(part[0]) ? part.map(attributeOf) : [attributeOf(part)]))),
  )
}

/**
 * @param {number} days from now
 * @param {boolean} [general]
 */
function timeAt(days, general = false) {
  const digits = new Date(Date.now() + days * DAY_S * 1000).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return general ? element(0x18, Buffer.from(digits)) : element(0x17, Buffer.from(digits.slice(2)))
}

/** A time as it is written. */
const timeText = (text) => element(text.length > 14 || !/^\d{12}Z$/.test(text) ? 0x18 : 0x17, Buffer.from(text))
const utcText = (text) => element(0x17, Buffer.from(text))

const ECDSA = { sha256: sequence(objectId('1.2.840.10045.4.3.2')), sha384: sequence(objectId('1.2.840.10045.4.3.3')) }
const RSA = sequence(objectId('1.2.840.113549.1.1.11'), Buffer.from('0500', 'hex'))
const SHA1_ECDSA = sequence(objectId('1.2.840.10045.4.1'))
const ED25519 = sequence(objectId('1.3.101.112'))

const KINDS = {
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  Ed25519: () => generateKeyPairSync('ed25519'),
  'RSA 1024': () => generateKeyPairSync('rsa', { modulusLength: 1024 }),
  'RSA 2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
}

class Key {
  /** @param {keyof typeof KINDS} kind */
  constructor(kind) {
    const { publicKey, privateKey } = KINDS[kind]()
    this.kind = kind
    this.privateKey = privateKey
    this.pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
    this.spki = publicKey.export({ type: 'spki', format: 'der' })
    this.id = createHash('sha1').update(this.spki).digest()
  }

  /** Its usual algorithm. */
  get algorithm() {
    if (this.kind.startsWith('RSA')) return RSA
    if (this.kind === 'Ed25519') return ED25519
    return this.kind === 'P-384' ? ECDSA.sha384 : ECDSA.sha256
  }

  /**
   * @param {Buffer} body
   * @param {Buffer} [algorithm]
   */
  sign(body, algorithm = this.algorithm) {
    if (this.kind === 'Ed25519') return sign(null, body, this.privateKey)
    const hash = algorithm.equals(ECDSA.sha384) ? 'sha384' : algorithm.equals(SHA1_ECDSA) ? 'sha1' : 'sha256'
    return sign(hash, body, this.privateKey)
  }
}

const keys = new Map()

/** The key of this number and kind. */
function keyOf(number, kind = 'P-256') {
  const name = `${kind} ${number}`
  if (!keys.has(name)) keys.set(name, new Key(kind))
  return keys.get(name)
}

/**
 * @param {string} id
 * @param {Buffer} value
 * @param {boolean} [critical]
 */
function extension(id, value, critical = false) {
  return sequence(objectId(id), critical ? TRUE : Buffer.alloc(0), octets(value))
}

const IDS = { basic: '2.5.29.19', keyUsage: '2.5.29.15', purposes: '2.5.29.37', names: '2.5.29.17' }

/** The names that general names may be of. */
const GENERAL = {
  email: (text) => element(0x81, Buffer.from(text)),
  dns: (text) => element(0x82, Buffer.from(text)),
  directory: (name) => element(0xa4, name),
  uri: (text) => element(0x86, Buffer.from(text)),
  ip: (...bytes) => element(0x87, Buffer.from(bytes)),
  registered: (id) => element(0x88, objectId(id).subarray(2)),
}

const EXTENSIONS = {
  /** `pathLen`: in hex */
  basic: (isAuthority, pathLen, critical = true) =>
    extension(
      IDS.basic,
      sequence(isAuthority ? TRUE : Buffer.alloc(0), pathLen === undefined ? Buffer.alloc(0) : integer(pathLen)),
      critical,
    ),
  keyUsage: (bytes, unused = 0, critical = true) => extension(IDS.keyUsage, bits(bytes, unused), critical),
  purposes: (ids, critical = false) => extension(IDS.purposes, sequence(...ids.map(objectId)), critical),
  names: (names, critical = false) => extension(IDS.names, sequence(...names), critical),
  keyId: (id, critical = false) => extension('2.5.29.14', octets(id), critical),
  authority: ({ id, issuer, serial }, critical = false) =>
    extension(
      '2.5.29.35',
      sequence(
        ...(id ? [element(0x80, id)] : []),
        ...(issuer ? [element(0xa1, GENERAL.directory(issuer))] : []),
        ...(serial ? [element(0x82, Buffer.from(serial, 'hex'))] : []),
      ),
      critical,
    ),
  constraints: ({ permitted, excluded, more = Buffer.alloc(0) }, critical = true) =>
    extension(
      '2.5.29.30',
      sequence(
        ...(permitted ? [element(0xa0, ...permitted.map((base) => sequence(base, more)))] : []),
        ...(excluded ? [element(0xa1, ...excluded.map((base) => sequence(base, more)))] : []),
      ),
      critical,
    ),
  netscape: (byte) => extension('2.16.840.1.113730.1.1', bits([byte])),
}

let serial = 0x40_00_00_00

/**
 * A certificate. What is not given is as it should be.
 * @param {object} wanted
 * @param {Buffer} wanted.subject
 * @param {Key} wanted.key
 * @param {{ subject: Buffer, key: Key }} [wanted.issuer] none: it issues itself
 * @param {Buffer} [wanted.issuerName] as it names its issuer, if not as that one names itself
 * @param {Buffer[]} [wanted.extensions] none: there is no such field
 * @param {number} [wanted.version]
 * @param {Buffer} [wanted.from]
 * @param {Buffer} [wanted.until]
 * @param {string} [wanted.serial]
 * @param {Buffer} [wanted.algorithm]
 * @param {Buffer} [wanted.saidAlgorithm] within what is signed
 * @param {boolean} [wanted.isBroken] its signature is another's
 */
function certificate(wanted) {
  const { subject, key, issuer = { subject, key }, issuerName = issuer.subject, extensions, version = 3 } = wanted
  const { from = timeAt(-10), until = timeAt(10), isBroken = false } = wanted
  const { serial: number = (++serial).toString(16).padStart(8, '0') } = wanted
  const { algorithm = issuer.key.algorithm, saidAlgorithm = algorithm } = wanted
  const body = sequence(
    ...(version > 1 ? [element(0xa0, integer(`0${version - 1}`))] : []),
    integer(number),
    saidAlgorithm,
    issuerName,
    sequence(from, until),
    subject,
    key.spki,
    ...(extensions && extensions.length > 0 ? [element(0xa3, sequence(...extensions))] : []),
  )
  const signed = isBroken ? Buffer.concat([body, Buffer.from('x')]) : body
  const der = sequence(body, algorithm, bits(issuer.key.sign(signed, algorithm)))
  return { subject, key, issuer, serial: number, der, pem: pemOf('CERTIFICATE', der) }
}

/**
 * A revocation list. What is not given is as it should be.
 * @param {{ subject: Buffer, key: Key }} issuer
 * @param {object} wanted
 * @param {({ serial: string, extensions?: Buffer[] })[]} [wanted.revoked]
 * @param {Buffer} [wanted.from]
 * @param {Buffer | null} [wanted.until]
 * @param {Buffer[]} [wanted.extensions]
 * @param {boolean} [wanted.isBroken]
 */
function revocationList(issuer, wanted = {}) {
  const { revoked = [], from = timeAt(-1), until = timeAt(1), isBroken = false } = wanted
  const { extensions = [EXTENSIONS.authority({ id: issuer.key.id })] } = wanted
  const entries = revoked.map(({ serial: number, extensions: own = [] }) =>
    sequence(integer(number), timeAt(-2), ...(own.length > 0 ? [sequence(...own)] : [])),
  )
  const { algorithm } = issuer.key
  const body = sequence(
    integer('01'),
    algorithm,
    issuer.subject,
    from,
    ...(until ? [until] : []),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    ...(extensions.length > 0 ? [element(0xa0, sequence(...extensions))] : []),
  )
  const signed = isBroken ? Buffer.concat([body, Buffer.from('x')]) : body
  return pemOf('X509 CRL', sequence(body, algorithm, bits(issuer.key.sign(signed))))
}

/**
 * @param {string} label
 * @param {Buffer} der
 * @param {string} [end] of a line
 */
function pemOf(label, der, end = '\n') {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join(end)
}

module.exports = {
  bits,
  certificate,
  ECDSA,
  element,
  EXTENSIONS,
  extension,
  GENERAL,
  integer,
  keyOf,
  nameOf,
  objectId,
  pemOf,
  revocationList,
  RSA,
  sequence,
  SHA1_ECDSA,
  timeAt,
  timeText,
  utcText,
}
