'use strict'

// The standard's rules for following a redirect (fetch.spec.whatwg.org, "HTTP-redirect fetch").

const { Buffer } = require('node:buffer')

const { fetchFailed } = require('./errors.js')
const { referAgain } = require('./referrer.js')
const { targetOf } = require('./target.js')

/** @typedef {import('./request.js').FetchRequest} FetchRequest */

/** Redirects that one fetch follows. */
const MOST_REDIRECTS = 20
const STATUSES = new Set([301, 302, 303, 307, 308])
/** Those that describe a body, and go with it. */
const BODY_FIELDS = new Set([
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-type',
])
/** Those that are meant for one origin only. */
const PRIVATE_FIELDS = new Set(['authorization', 'cookie', 'host', 'proxy-authorization'])

/**
 * Whether a response leads elsewhere, or is to be taken for a failure.
 * @param {FetchRequest} request
 * @param {number} status
 */
function isRedirect(request, status) {
  return STATUSES.has(status) && request.redirect !== 'manual'
}

/**
 * The request that follows a redirect; null: it leads nowhere, and is the fetch's response.
 * @param {FetchRequest} request
 * @param {number} status
 * @param {string[]} lines of its head
 * @returns {FetchRequest | null}
 */
function redirected(request, status, lines) {
  if (request.redirect === 'error') throw fetchFailed(new Error('unexpected redirect'))
  const location = locationOf(lines)
  if (location === undefined) return null
  const { target } = request
  const url = joined(location, target.href)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw fetchFailed(new Error('URL scheme must be a HTTP(S) scheme'))
  }
  if (request.redirects >= MOST_REDIRECTS) throw fetchFailed(new Error('redirect count exceeded'))
  const isElsewhere = url.origin !== target.origin
  const isTainted = request.isTainted || isElsewhere
  if (isElsewhere && request.mode === 'same-origin') {
    throw fetchFailed(new Error('request mode cannot be "same-origin"'))
  }
  if (isTainted && request.mode === 'cors' && (url.username !== '' || url.password !== '')) {
    throw fetchFailed(new Error('cross origin not allowed for request mode "cors"'))
  }
  // Those of the same origin are known to the server that names them; they are not for URLs that are shown.
  url.username = ''
  url.password = ''
  const isStream = request.body !== null && typeof request.body === 'object' && !(request.body instanceof Uint8Array)
  if (status !== 303 && isStream && request.renew === null)
    throw fetchFailed(new Error("the body of the request can't be sent again"))
  if (url.hash === '') url.hash = new URL(target.href).hash
  const next = targetOf(url.href)
  if (next === null) throw fetchFailed(new Error('URL scheme must be a HTTP(S) scheme'))
  const becomesGet = turnsIntoGet(status, request.method)
  const drops = (/** @type {string} */ name) =>
    (becomesGet && BODY_FIELDS.has(name)) || (isElsewhere && (isPrivate(name) || request.confined?.has(name) === true))
  const after = {
    ...request,
    target: next,
    method: becomesGet ? 'GET' : request.method,
    fields: becomesGet || isElsewhere ? without(request.fields, drops) : request.fields,
    body: becomesGet ? null : isStream && request.renew !== null ? request.renew() : request.body,
    length: becomesGet ? -1 : request.length,
    renew: becomesGet ? null : request.renew,
    redirects: request.redirects + 1,
    isTainted,
  }
  referAgain(after, lines)
  return after
}

/** @param {string} name in lower case */
function isPrivate(name) {
  return PRIVATE_FIELDS.has(name)
}

/**
 * @param {number} status
 * @param {string} method
 */
function turnsIntoGet(status, method) {
  if (status === 301 || status === 302) return method === 'POST'
  return status === 303 && method !== 'GET' && method !== 'HEAD'
}

/**
 * @param {string[]} fields
 * @param {(name: string) => boolean} drops
 */
function without(fields, drops) {
  /** @type {string[]} */
  const kept = []
  for (let at = 0; at < fields.length; at += 2) if (!drops(fields[at])) kept.push(fields[at], fields[at + 1])
  return kept
}

/** @param {string[]} lines */
function locationOf(lines) {
  for (let at = 0; at < lines.length; at += 2) {
    // Bytes: servers send UTF-8, whatever the rules say.
    if (lines[at].toLowerCase() === 'location') return Buffer.from(lines[at + 1], 'latin1').toString()
  }
  return undefined
}

/**
 * @param {string} location
 * @param {string} base
 */
function joined(location, base) {
  try {
    return new URL(location, base)
  } catch {
    throw fetchFailed(new Error('Invalid URL in the Location header of a redirect'))
  }
}

module.exports = { isPrivate, isRedirect, redirected }
