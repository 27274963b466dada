'use strict'

// What install({ fetch: true }) makes of globalThis.fetch: the standard's function, on the engine. It has no options but the
// standard's and the runtime's own, and whatever the engine can't carry is the runtime's own fetch's, which it stands for.

const { warnOfFallback, warnOfFetch } = require('../common/warnings.js')
const { start } = require('../fetch/index.js')
const { isGenuine, isSecureContextReplaced, kStandsFor, replacedConnecting } = require('../runtime/genuine.js')
const { isAltered, secureOf } = require('../tls/settings.js')

/** How dd-trace's wrapper reads, in its file and as Bun prints it. It hears of our fetches on undici's channels, once each. */
const DD_TRACE = /^function fetch ?\(input, init\) \{\s*return wrappedFetch\(input, init\);?\s*\}$/

/** @typedef {(input: any, init?: any) => Promise<Response>} Fetch */

/**
 * Whether a function is the runtime's own fetch, another copy's stand-in for it, or dd-trace's wrapper around it. Any other
 * may be a mock, or add to requests: it is called.
 * @param {any} theirs
 */
function isRuntimes(theirs) {
  while (Object.hasOwn(theirs, kStandsFor)) theirs = theirs[kStandsFor]()
  return isGenuine('fetch', theirs) || DD_TRACE.test(Function.prototype.toString.call(theirs))
}

let isTlsOurs = false

/** Whether the engine can honour what the process says of TLS. */
function honoursTls() {
  if (isTlsOurs && !isAltered()) return true
  isTlsOurs = !isSecureContextReplaced() && typeof secureOf({}, 0) !== 'string'
  return isTlsOurs
}

/** @param {any} input */
function isHttp(input) {
  const spelled = typeof input === 'string' ? input : input instanceof URL ? input.href : input?.url
  return typeof spelled === 'string' && /^\s*http:/i.test(spelled)
}

/**
 * @param {() => Fetch} aside what it stands for, as it is now
 * @param {(standIn: Fetch) => boolean} isOut whether it was taken out again: it may still be under a wrapper
 * @returns {Fetch}
 */
function globalFetch(aside, isOut) {
  /** @type {Fetch | undefined} */
  let judged
  let isOurs = false

  /** @param {any[]} given @returns {Promise<Response>} */
  function fetch(...given) {
    const [input, init] = given
    const theirs = aside()
    if (theirs !== judged) {
      judged = theirs
      isOurs = isRuntimes(theirs)
      if (!isOurs && !isOut(fetch)) warnOfFetch()
    }
    if (!isOurs || given.length === 0 || isOut(fetch)) return Reflect.apply(theirs, globalThis, given)
    const mock = replacedConnecting()
    if (mock !== undefined) {
      warnOfFallback(null, 'sockets-replaced', mock)
      return theirs(input, init)
    }
    if (!isHttp(input) && !honoursTls()) return theirs(input, init)
    return start(input, init, null, { theirs, isWrapped: globalThis.fetch !== fetch })
  }

  const theirs = aside()
  if (isGenuine('fetch', theirs)) {
    const { prototype: _, ...properties } = Object.getOwnPropertyDescriptors(theirs)
    // Its length, and such as Bun's `preconnect`. What a wrapper says of itself is not true of ours.
    Object.defineProperties(fetch, properties)
  }
  return Object.defineProperty(fetch, kStandsFor, { value: aside })
}

module.exports = { globalFetch }
