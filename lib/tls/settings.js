'use strict'

// The TLS side of a connection's options: what the engine can do with them, and what only the runtime can.
//
// All connections of one name (the agent's getName()) have the same settings: whatever distinguishes them is in the name.

const net = require('node:net')

const {
  isGenuine,
  isIdentityReplaced,
  isRuntimesCheck,
  isSecureContextReplaced,
  runtimeSecureAgent,
} = require('../runtime/genuine.js')
const native = require('../bridge/native.js')
const { namesOf, TLS } = require('../common/options/table.js')
const { isNode } = require('../runtime/probes.js')
const secure = require('../runtime/late.js')
const { pemList, replacedList, trustOf } = require('./trust.js')
const { copyOf, distinction, isEmptyList, isUnchanged, tagOf } = require('./values.js')

/** @typedef {Record<string, any>} Options */

/**
 * @typedef {object} Secure
 * @property {number} id the engine's number for the settings
 * @property {string} servername what is sent; '': nothing
 * @property {string} hostname whose certificate it must be
 * @property {boolean} rejectUnauthorized
 * @property {((hostname: string, certificate: any) => Error | undefined) | undefined} checkServerIdentity the user's own
 * @property {string[] | undefined} ca
 * @property {string | undefined} cert
 */

const VERSIONS = ['TLSv1.2', 'TLSv1.3']

/** What is offered where HTTP/2 is wanted. */
const HTTP2_FIRST = ['h2', 'http/1.1']

/** OpenSSL's names of the cipher suites that the engine has, and rustls's. */
const CIPHERS = new Map([
  ['TLS_AES_256_GCM_SHA384', 'TLS13_AES_256_GCM_SHA384'],
  ['TLS_AES_128_GCM_SHA256', 'TLS13_AES_128_GCM_SHA256'],
  ['TLS_CHACHA20_POLY1305_SHA256', 'TLS13_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-RSA-AES256-GCM-SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
])

const tls = secure.tls()
const { constants, createPrivateKey } = secure.crypto()

/** The runtime's own way to connect, unless it has been replaced before anybody asked. */
const connect = secure.before.tls?.connect ?? (isGenuine('secureConnect', tls.connect) ? tls.connect : undefined)
const defaultCiphers = secure.before.tls?.DEFAULT_CIPHERS ?? constants.defaultCipherList

/** What the names of https agents have after those of http agents, in this order. */
const NAMED = namesOf(TLS, ({ named }) => named)

/** Certificates and keys. */
const TEXTS = namesOf(TLS, ({ text }) => text)

/** Options whose values may change in place. */
const COPIED = namesOf(TLS, ({ copied }) => copied)

/** Options whose values are told apart by what they are, not by what is in them. */
const TAGGED = namesOf(TLS, ({ tagged }) => tagged)

/** Whether the runtime's names say anything of TLS; those of Bun up to 1.3 do not. */
const namesSecurity = isInName('ca')

/** Options that the engine has no equal for. */
const FALLBACK = namesOf(TLS, ({ fallback, known, name }) => fallback && (!known || isInName(name)))

/** What only the runtime can do, and its names do not tell. */
const UNNAMED = namesOf(
  TLS,
  ({ fallback, known, name, named, tagged }) => fallback && !known && !named && !tagged && !isInName(name),
)

/** @param {string} key */
function isInName(key) {
  return nameOfRuntime({ [key]: 'x' }) !== nameOfRuntime({})
}

/** @param {Options} options */
function nameOfRuntime(options) {
  return runtimeSecureAgent().prototype.getName.call(secure.https().globalAgent, options)
}

/**
 * @param {Options} options
 * @param {string} key
 */
function namedPart(options, key) {
  const value = options[key]
  if (key === 'servername' && value === options.host) return ''
  return value || (key === 'rejectUnauthorized' && value === false) ? String(value) : ''
}

/**
 * What distinguishes connections and is not in the runtime's getName().
 * @param {Options} options
 */
function nameSuffix(options) {
  let suffix = namesSecurity ? '' : NAMED.map((key) => `:${namedPart(options, key)}`).join('')
  const { ALPNProtocols: alpn, rejectUnauthorized } = options
  if (alpn !== undefined) suffix += `:alpn=${Array.isArray(alpn) ? alpn.join(' ') : String(alpn)}`
  if (options.allowPartialTrustChain) suffix += ':partial'
  // The runtime's name says nothing of these: nobody is trusted, no name is sent.
  if (isEmptyList(options.ca)) suffix += ':no-ca'
  if (options.servername === '' && net.isIP(options.host ?? '') === 0) suffix += ':no-servername'
  // Or the same as of others. Only the boolean means that anybody may answer.
  if (rejectUnauthorized !== undefined && rejectUnauthorized !== false && String(rejectUnauthorized) === 'false') {
    suffix += ':verified'
  }
  for (const key of TEXTS) {
    const difference = distinction(options[key])
    if (difference !== '') suffix += `:${key}${difference}`
  }
  for (const key of UNNAMED) if (isGiven(options[key])) suffix += `:${key}=${String(options[key])}`
  for (const key of TAGGED) {
    const value = options[key]
    if (isDefaultCheck(value)) continue
    if (value && (typeof value === 'function' || typeof value === 'object')) suffix += `:${key}=${tagOf(value)}`
  }
  if (isIdentityReplaced()) suffix += `:identity=${tagOf(tls.checkServerIdentity)}`
  if (isSecureContextReplaced()) suffix += `:context=${tagOf(tls.createSecureContext)}`
  if (!('rejectUnauthorized' in options) && isUnverified()) suffix += ':unverified'
  const list = options.ca ? undefined : replacedList()
  if (list !== undefined) suffix += `:trust=${tagOf(list)}`
  return suffix
}

function isUnverified() {
  return process.env.NODE_TLS_REJECT_UNAUTHORIZED === '0'
}

let warned = false

/**
 * Has the runtime say what it says when its own connections are not verified: it does so once, whoever makes the first one,
 * and before it looks at what it was given, which here is refused.
 */
function warnUnverified() {
  if (warned) return
  warned = true
  try {
    const accepted = connect?.(/** @type {any} */ ({ checkServerIdentity: null }))
    // By no runtime so far.
    accepted?.on('error', () => {}).destroy()
  } catch {}
}

const NAME = /^(?=.{1,253}$)[\w](?:[\w-]{0,61}[\w])?(?:\.[\w](?:[\w-]{0,61}[\w])?)*\.?$/
/** Such a name is none to rustls: it looks like an address. */
const ENDS_IN_NUMBER = /(?:^|\.)\d+\.?$/

/** @param {string} name */
function isSendable(name) {
  return NAME.test(name) && !ENDS_IN_NUMBER.test(name) && net.isIP(name) === 0
}

/** @param {unknown} value */
function isGiven(value) {
  return value !== undefined && value !== null && value !== false
}

/**
 * rustls's names of the wanted suites.
 * @param {unknown} ciphers
 * @returns {string[] | undefined} undefined: the engine has not all of them
 */
function suitesOf(ciphers) {
  const wanted = isGiven(ciphers) ? ciphers : tls.DEFAULT_CIPHERS
  if (wanted === defaultCiphers) return usesDefaultCiphers ? [] : undefined
  if (typeof wanted !== 'string') return undefined
  const suites = []
  for (const name of wanted.split(':')) {
    const suite = CIPHERS.get(name)
    // What is ruled out is nothing that the engine has, or it would be wanted by name as well.
    if (suite !== undefined) suites.push(suite)
    else if (!name.startsWith('!')) return undefined
  }
  return suites.length > 0 ? suites : undefined
}

/** Whether the runtime was started with its own cipher list; the test runner of Node 24 and newer names it in a flag. */
const usesDefaultCiphers = !usesFlag('--tls-cipher-list') || defaultCiphers === constants.defaultCoreCipherList
const usesOpensslCa = usesFlag('--use-openssl-ca')

/** @param {string} flag */
function usesFlag(flag) {
  const given = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
  return given.some((argument) => argument === flag || argument.startsWith(`${flag}=`))
}

/**
 * @param {Options} options
 * @returns {string[]} not encrypted
 */
function keysOf({ key, passphrase }) {
  const list = Array.isArray(key) ? key : [key]
  return list.flatMap((item) => {
    const isPair = typeof item === 'object' && item !== null && !ArrayBuffer.isView(item) && 'pem' in item
    const [pem] = pemList(isPair ? item.pem : item)
    if (!pem.includes('ENCRYPTED')) return pem
    const opened = createPrivateKey({ key: pem, passphrase: (isPair && item.passphrase) || passphrase })
    return String(opened.export({ type: 'pkcs8', format: 'pem' }))
  })
}

/** @param {unknown} protocols */
function isTextList(protocols) {
  return Array.isArray(protocols) && protocols.every((name) => typeof name === 'string' && /^[!-~]+$/.test(name))
}

/**
 * @param {Options} options all of a connection's, `servername` included
 * @param {number} sessions how many endpoints' sessions are kept
 * @param {boolean} [http2] whether HTTP/2 is offered, unless the options say what is
 * @returns {Secure | string} a text: why only the runtime can honour them
 */
function secureOf(options, sessions, http2 = false) {
  const fallback = FALLBACK.find((key) => isGiven(options[key]))
  if (fallback !== undefined) return fallback
  const min = options.minVersion ?? tls.DEFAULT_MIN_VERSION ?? VERSIONS[0]
  const max = options.maxVersion ?? tls.DEFAULT_MAX_VERSION ?? VERSIONS[1]
  if (!VERSIONS.includes(min) || !VERSIONS.includes(max) || min > max) return 'version'
  const ciphers = suitesOf(options.ciphers)
  if (ciphers === undefined) return 'ciphers'
  const { ALPNProtocols, ca } = options
  const checkServerIdentity = isDefaultCheck(options.checkServerIdentity) ? undefined : options.checkServerIdentity
  if (ALPNProtocols && !isTextList(ALPNProtocols)) return 'ALPNProtocols'
  const servername = options.servername || ''
  if (servername !== '' && !isSendable(servername)) return 'servername'
  if ('checkServerIdentity' in options && typeof options.checkServerIdentity !== 'function')
    return 'checkServerIdentity'
  if (!ca && usesOpensslCa) return 'openssl-ca'
  const unverified = !('rejectUnauthorized' in options) && isUnverified()
  if (unverified) warnUnverified()
  const rejectUnauthorized = !unverified && options.rejectUnauthorized !== false
  let id
  try {
    const certs = options.cert ? pemList(options.cert) : []
    id = native.internTls({
      roots: trustOf(ca, Boolean(options.allowPartialTrustChain) && knowsPartialChains()),
      certs,
      keys: certs.length > 0 && options.key ? keysOf(options) : [],
      crls: options.crl === undefined || options.crl === null ? [] : pemList(options.crl),
      rejectUnauthorized,
      askIdentity: checkServerIdentity !== undefined || isIdentityReplaced(),
      tls12: min === 'TLSv1.2' && offers(ciphers, 'TLS_'),
      tls13: max === 'TLSv1.3' && offers(ciphers, 'TLS13_'),
      ciphers,
      alpn: ALPNProtocols ?? (http2 ? HTTP2_FIRST : []),
      sessions,
    })
  } catch {
    // The runtime's own complaint about them is the right one.
    id = null
  }
  if (id === null) return 'credentials'
  return {
    id,
    servername,
    hostname: servername || options.host || 'localhost',
    rejectUnauthorized,
    checkServerIdentity,
    ca: ca ? pemList(ca) : undefined,
    cert: options.cert ? pemList(options.cert)[0] : undefined,
  }
}

/** Whether this version of the runtime does what `allowPartialTrustChain` asks for. */
function knowsPartialChains() {
  if (!isNode) return true
  const { context } = /** @type {any} */ (tls.createSecureContext())
  return typeof context.setAllowPartialTrustChain === 'function'
}

/**
 * @param {string[]} ciphers
 * @param {string} version how its suites begin
 */
function offers(ciphers, version) {
  return ciphers.length === 0 || ciphers.some((name) => name.startsWith(version))
}

/**
 * Whether options say nothing about TLS: nearly always for a request. Constant names cost a fraction of a loop's.
 * @param {Options} options
 */
function saysNothingOfTls(options) {
  return (
    options.ca === undefined &&
    options.cert === undefined &&
    options.key === undefined &&
    options.passphrase === undefined &&
    options.pfx === undefined &&
    options.rejectUnauthorized === undefined &&
    isDefaultCheck(options.checkServerIdentity) &&
    options.minVersion === undefined &&
    options.maxVersion === undefined &&
    options.ciphers === undefined &&
    options.ALPNProtocols === undefined &&
    options.crl === undefined &&
    options.sigalgs === undefined &&
    options.secureContext === undefined &&
    options.secureProtocol === undefined &&
    options.secureOptions === undefined &&
    options.allowPartialTrustChain === undefined &&
    options.session === undefined &&
    options.ecdhCurve === undefined &&
    options.dhparam === undefined &&
    options.honorCipherOrder === undefined &&
    options.sessionIdContext === undefined &&
    options.clientCertEngine === undefined &&
    options.privateKeyEngine === undefined &&
    options.privateKeyIdentifier === undefined &&
    options.pskCallback === undefined &&
    options.requestOCSP === undefined &&
    options.enableTrace === undefined &&
    options.certificateCompression === undefined &&
    options.caFile === undefined &&
    options.certFile === undefined &&
    options.keyFile === undefined &&
    options.socket === undefined
  )
}

/**
 * Whether a request's options say nothing about security.
 * @param {Options} options
 */
function isSilent(options) {
  return options.servername === undefined && saysNothingOfTls(options)
}

/**
 * What an agent's options say, as it is now.
 * @param {Options} options
 * @returns {Options}
 */
function recordOf(options) {
  const record = { ...options }
  for (const key of COPIED) record[key] = copyOf(options[key])
  return record
}

/**
 * Whether an agent's options still say what they said about TLS.
 * @param {Options} now
 * @param {Options} then their record
 */
function isSame(now, then) {
  return (
    isUnchanged(now.ca, then.ca) &&
    isUnchanged(now.cert, then.cert) &&
    isUnchanged(now.key, then.key) &&
    isUnchanged(now.pfx, then.pfx) &&
    isUnchanged(now.crl, then.crl) &&
    isUnchanged(now.ALPNProtocols, then.ALPNProtocols) &&
    now.passphrase === then.passphrase &&
    now.servername === then.servername &&
    now.rejectUnauthorized === then.rejectUnauthorized &&
    now.checkServerIdentity === then.checkServerIdentity &&
    now.minVersion === then.minVersion &&
    now.maxVersion === then.maxVersion &&
    now.ciphers === then.ciphers &&
    now.sigalgs === then.sigalgs &&
    now.secureContext === then.secureContext &&
    now.secureProtocol === then.secureProtocol &&
    now.secureOptions === then.secureOptions &&
    now.allowPartialTrustChain === then.allowPartialTrustChain &&
    now.session === then.session &&
    now.ecdhCurve === then.ecdhCurve &&
    now.dhparam === then.dhparam &&
    now.honorCipherOrder === then.honorCipherOrder &&
    now.sessionIdContext === then.sessionIdContext &&
    now.clientCertEngine === then.clientCertEngine &&
    now.privateKeyEngine === then.privateKeyEngine &&
    now.privateKeyIdentifier === then.privateKeyIdentifier &&
    now.pskCallback === then.pskCallback &&
    now.requestOCSP === then.requestOCSP &&
    now.enableTrace === then.enableTrace &&
    now.certificateCompression === then.certificateCompression &&
    now.caFile === then.caFile &&
    now.certFile === then.certFile &&
    now.keyFile === then.keyFile &&
    now.socket === then.socket
  )
}

/**
 * Whether a request's or an agent's check is the one that counts without it: got names the runtime's own in each request.
 * @param {unknown} check
 */
function isDefaultCheck(check) {
  return check === undefined || isRuntimesCheck(check)
}

/** Whether the process as a whole has changed whom it takes for whom. */
function isAltered() {
  return isIdentityReplaced() || isUnverified() || isSecureContextReplaced() || replacedList() !== undefined
}

module.exports = {
  CIPHERS,
  isAltered,
  saysNothingOfTls,
  isSame,
  isSilent,
  NAMED,
  nameSuffix,
  recordOf,
  isDefaultCheck,
  secureOf,
}
