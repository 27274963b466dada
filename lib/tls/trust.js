'use strict'

// Which certificate authorities are trusted: those that a connection's `ca` names, else the runtime's own. The engine gets
// a list once and knows it by number.

const { readdirSync, readFileSync } = require('node:fs')
const path = require('node:path')

const { coded } = require('../common/errors.js')
const native = require('../bridge/native.js')
const { isBun, isNode } = require('../runtime/probes.js')
const { authorities, tls: loadTls } = require('../runtime/late.js')

const tls = loadTls()

/** Whose verdicts on certificates count: OpenSSL's, BoringSSL's or webpki's. */
const DIALECT = isNode ? 0 : isBun ? 1 : 2

/** The runtime's list that `defaultNumber` stands for. @type {readonly string[] | undefined} */
let defaultList
let defaultNumber = 0

/** What NODE_EXTRA_CA_CERTS adds where the runtime does not tell its whole list: read once, as by the runtime. */
const extraFile = authorities.extra
/** @type {string | undefined} */
let extra

function extraCertificates() {
  if (extra !== undefined) return extra
  extra = ''
  if (extraFile) {
    try {
      // The runtime reads certificates without words beside them.
      extra = readFileSync(extraFile, 'utf8').replaceAll('BEGIN TRUSTED CERTIFICATE', 'BEGIN WORDS')
    } catch (error) {
      // The runtime says so as well, and goes on.
      const { message } = /** @type {Error} */ (error)
      process.emitWarning(`Ignoring extra certs from \`${extraFile}\`, load failed: ${message}`)
    }
    if (isBun && !isReadable(extra)) extra = ''
  }
  return extra
}

/** Where OpenSSL looks for authorities if nobody says otherwise. Bun does not tell of them, but trusts them. */
const opensslFile = authorities.file ?? '/etc/ssl/cert.pem'
const opensslFolders = (authorities.folders ?? '/etc/ssl/certs').split(path.delimiter)
/** OpenSSL finds them by a hash of their names. */
const HASHED = /^[0-9a-f]{8}\.\d+$/
/** @type {string[] | undefined} */
let openssl

function opensslCertificates() {
  openssl ??= [opensslFile, ...opensslFolders.flatMap(hashedFiles)].map(readIfThere)
  return openssl
}

/** @param {string} folder */
function hashedFiles(folder) {
  try {
    const names = readdirSync(folder).filter((name) => HASHED.test(name))
    return names.map((name) => path.join(folder, name))
  } catch {
    return []
  }
}

/** @param {string} file */
function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** The runtime's list when it was first asked for. @type {readonly string[] | undefined} */
let firstList

/** The list that tls.setDefaultCACertificates() has put in place of the first one. */
function replacedList() {
  if (firstList === undefined) return undefined
  const list = runtimeList()
  return list === firstList ? undefined : list
}

/** @returns {readonly string[]} */
function runtimeList() {
  const { getCACertificates, rootCertificates } = /** @type {any} */ (tls)
  return typeof getCACertificates === 'function' ? getCACertificates('default') : rootCertificates
}

/**
 * @param {unknown} ca
 * @param {boolean} partialChains
 * @returns {number} for the settings that are made next: the engine keeps what settings use, and the runtime's own list
 */
function trustOf(ca, partialChains) {
  if (isBun && ca && !isReadable(ca)) throw coded('ERR_INVALID_ARG_VALUE', 'no certificates')
  if (ca) return native.internTrust(joined(pemList(ca)), partialChains, false, DIALECT)
  const list = runtimeList()
  firstList ??= list
  if (list === defaultList && !partialChains) return defaultNumber
  const pem = runtimePem(list)
  const number = native.internTrust(pem, partialChains, true, DIALECT)
  if (!partialChains) {
    defaultList = list
    defaultNumber = number
  }
  return number
}

/**
 * Texts as the engine takes them, each of which is read by itself.
 * @param {readonly string[]} texts
 */
function joined(texts) {
  return texts.map((text) => text.replaceAll('\0', '!')).join('\0')
}

/**
 * Bun takes no text of which it can't read all.
 * @param {any} ca
 */
function isReadable(ca) {
  try {
    tls.createSecureContext({ ca })
    return true
  } catch {
    return false
  }
}

/** All that the runtime trusts, as one text. */
function runtimePem(list = runtimeList()) {
  const isWhole = typeof (/** @type {any} */ (tls).getCACertificates) === 'function' && isNode
  if (isWhole) return joined(list)
  return joined([...list, extraCertificates(), ...(isBun ? opensslCertificates() : [])])
}

/**
 * The certificates that a connection with this `ca` trusts, to complete a chain for those who look at it.
 * @param {unknown} ca
 * @returns {readonly string[]}
 */
function trustedCertificates(ca) {
  const list = ca ? pemList(ca) : runtimeList()
  return list.flatMap((pem) => pem.match(/-----BEGIN [^-]*CERTIFICATE-----[^-]*-----END [^-]*CERTIFICATE-----/g) ?? [])
}

/**
 * What the runtime takes for one or more PEM texts.
 * @param {unknown} value
 * @returns {string[]}
 */
function pemList(value) {
  const list = Array.isArray(value) ? value : [value]
  return list.map((item) => {
    if (typeof item === 'string') return item
    if (ArrayBuffer.isView(item)) return Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString()
    throw coded('ERR_INVALID_ARG_TYPE', 'no PEM')
  })
}

module.exports = { pemList, replacedList, trustedCertificates, trustOf }
