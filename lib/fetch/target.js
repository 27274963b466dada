'use strict'

// URLs that can be fetched, and what follows from each of them: worked out once for those that come again and again.

const { fetchFailed } = require('./errors.js')
const { badPorts } = require('./platform.js')

/**
 * @typedef {object} Target
 * @property {string} href
 * @property {string} url without its fragment
 * @property {string} origin
 * @property {string} protocol
 * @property {string} path with its query
 * @property {string} authority as a request's `host` says it
 * @property {Record<string, any>} wanted what to connect to
 * @property {boolean | null} isForClient whether reqwest's client can make sense of it; null: it was not asked
 * @property {string} bareHead a GET of it without anything special; '': not made yet
 * @property {import('../agent/origin.js').Origin | null} known where fetches without an agent have their connections to it
 */

const MOST_TARGETS = 512
/** Longer URLs are not kept. */
const LONGEST_KEPT = 2048

/** URLs that were fetched before. @type {Map<string, Target>} */
const targets = new Map()

/**
 * @param {string} spelled
 * @returns {Target | null} null: not one for us to fetch
 */
function targetOf(spelled) {
  const known = targets.get(spelled)
  if (known !== undefined) return known
  const url = URL.canParse === undefined ? parsed(spelled) : URL.canParse(spelled) ? new URL(spelled) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null
  if (url.username !== '' || url.password !== '') return null
  if (badPorts.has(url.port)) throw fetchFailed(new Error('bad port'))
  const target = describe(url)
  if (spelled.length > LONGEST_KEPT) return target
  if (targets.size >= MOST_TARGETS) targets.clear()
  targets.set(spelled, target)
  return target
}

/** @param {URL} url @returns {Target} */
function describe({ host, hostname, href, origin, pathname, port, protocol, search }) {
  const hash = href.indexOf('#')
  const defaultPort = protocol === 'https:' ? 443 : 80
  return {
    href,
    url: hash < 0 ? href : href.slice(0, hash),
    origin,
    protocol,
    path: pathname + (search === '' && endsWithQuery(href, hash) ? '?' : search),
    authority: host,
    wanted: {
      __proto__: null,
      host: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
      port: port === '' ? defaultPort : Number(port),
      path: null,
    },
    isForClient: null,
    bareHead: '',
    known: null,
  }
}

/**
 * Whether a URL has a query that is empty, which `search` does not tell.
 * @param {string} href
 * @param {number} hash where its fragment begins; negative: it has none
 */
function endsWithQuery(href, hash) {
  return href[(hash < 0 ? href.length : hash) - 1] === '?'
}

/** @param {string} spelled */
function parsed(spelled) {
  try {
    return new URL(spelled)
  } catch {
    return null
  }
}

module.exports = { parsed, targetOf }
