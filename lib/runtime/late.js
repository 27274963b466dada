'use strict'

// Modules of the runtime that are loaded when somebody needs them first: node:https, node:tls and node:crypto take longer to load than all
// of this package. Who loaded them before has them looked at when this package is loaded: what is replaced in them later is not theirs.

const { lazy } = require('./lazy.js')

const { getBuiltinModule } = /** @type {any} */ (process)

/** What Node has loaded, as it goes on; elsewhere nobody tells. @type {string[] | undefined} */
const loaded = /** @type {any} */ (process).moduleLoadList
const isTold = Array.isArray(loaded) && loaded.length > 0

/** @param {string} name */
function isLoaded(name) {
  return !isTold || loaded.includes(`NativeModule ${name}`)
}

/**
 * The runtime's own, also if somebody has a mock required in its place by now.
 * @template T
 * @param {string} name
 * @param {() => T} load
 */
function ofRuntime(name, load) {
  if (isLoaded(name)) {
    const module = load()
    return () => module
  }
  return lazy(() => /** @type {T} */ (getBuiltinModule?.(`node:${name}`) ?? load()))
}

const crypto = ofRuntime('crypto', () => require('node:crypto'))
const dns = ofRuntime('dns', () => require('node:dns'))
const https = ofRuntime('https', () => require('node:https'))
const tls = ofRuntime('tls', () => require('node:tls'))

/** What programs may replace, as it was when this package was loaded, if somebody had loaded it. */
const before = {
  tls: isLoaded('tls') ? pickTls() : undefined,
  https: isLoaded('https') ? https() : undefined,
}

function pickTls() {
  const { checkServerIdentity, connect, DEFAULT_CIPHERS } = tls()
  return { checkServerIdentity, connect, DEFAULT_CIPHERS }
}

/** What the environment says of authorities: as the runtime, this package does not look there again. */
const authorities = {
  extra: process.env.NODE_EXTRA_CA_CERTS,
  file: process.env.SSL_CERT_FILE,
  folders: process.env.SSL_CERT_DIR,
}

let isTlsLoaded = before.tls !== undefined
let seen = 0

/** node:tls, unless nobody has loaded it: then nobody has replaced anything in it. Asked for each request. */
function loadedTls() {
  if (!isTlsLoaded) {
    if (/** @type {string[]} */ (loaded).length === seen) return undefined
    seen = /** @type {string[]} */ (loaded).length
    isTlsLoaded = isLoaded('tls')
    if (!isTlsLoaded) return undefined
  }
  return tls()
}

module.exports = { authorities, before, crypto, dns, https, loadedTls, tls }
