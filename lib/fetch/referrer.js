'use strict'

// How much a server hears of where a request comes from: the standard's `referrer` and `referrerPolicy`
// (w3c.github.io/webappsec-referrer-policy, section 8.3).

const { hasModes } = require('./platform.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

const USUAL = 'strict-origin-when-cross-origin'
const POLICIES = new Set([
  'no-referrer',
  'no-referrer-when-downgrade',
  'same-origin',
  'origin',
  'strict-origin',
  'origin-when-cross-origin',
  USUAL,
  'unsafe-url',
])
/** A longer URL is cut to its origin. */
const LONGEST = 4096
const LOOPBACK = /^(?:127(?:\.\d+){3}|\[::1\]|(?:.*\.)?localhost)$/

/**
 * Adds what a Request says of where it comes from. A `referer` among its fields is its user's, and stays.
 * @param {FetchRequest} request
 * @param {Request} request
 */
function refer(request, { referrer, referrerPolicy }) {
  // What is local has no place in a network.
  if (!hasModes || !/^https?:/.test(referrer) || request.fields.some(isReferer)) return
  request.referrerPolicy = referrerPolicy || USUAL
  request.referrer = reduced(referrer, request.referrerPolicy, request.target.href)
  if (request.referrer !== '') request.fields.push('referer', request.referrer)
}

/**
 * The same after a redirect, which may have said how much is to be known.
 * @param {FetchRequest} request
 * @param {string[]} lines of the redirect's head
 */
function referAgain(request, lines) {
  if (request.referrer === '') return
  request.referrerPolicy = policyIn(lines) ?? request.referrerPolicy
  request.referrer = reduced(request.referrer, request.referrerPolicy, request.target.href)
  const at = request.fields.findIndex(isReferer)
  const rest = request.fields.filter((_, index) => index !== at && index !== at + 1)
  request.fields = request.referrer === '' ? rest : [...rest, 'referer', request.referrer]
}

/**
 * @param {string} field
 * @param {number} at
 */
function isReferer(field, at) {
  return at % 2 === 0 && field === 'referer'
}

/**
 * The last policy that a response names, of those that are known.
 * @param {string[]} lines
 * @returns {string | undefined}
 */
function policyIn(lines) {
  const named = lines.filter((_, at) => at % 2 === 1 && lines[at - 1].toLowerCase() === 'referrer-policy').join()
  return named
    .split(',')
    .map((token) => token.trim())
    .filter((token) => POLICIES.has(token))
    .at(-1)
}

/**
 * @param {string} referrer
 * @param {string} policy
 * @param {string} href where the request goes
 * @returns {string} what the server hears; '': nothing
 */
function reduced(referrer, policy, href) {
  const from = new URL(referrer)
  const to = new URL(href)
  from.username = ''
  from.password = ''
  from.hash = ''
  const origin = `${from.origin}/`
  const whole = from.href.length > LONGEST ? origin : from.href
  const isSame = from.origin === to.origin
  const isDowngrade = isTrustworthy(from) && !isTrustworthy(to)
  switch (policy) {
    case 'no-referrer':
      return ''
    case 'origin':
      return origin
    case 'unsafe-url':
      return whole
    case 'strict-origin':
      return isDowngrade ? '' : origin
    case 'same-origin':
      return isSame ? whole : ''
    case 'origin-when-cross-origin':
      return isSame ? whole : origin
    case 'no-referrer-when-downgrade':
      return isDowngrade ? '' : whole
    default:
      if (isSame) return whole
      return isDowngrade ? '' : origin
  }
}

/** @param {URL} url */
function isTrustworthy({ protocol, hostname }) {
  return protocol === 'https:' || LOOPBACK.test(hostname)
}

module.exports = { refer, referAgain }
