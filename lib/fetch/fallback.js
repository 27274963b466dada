'use strict'

// Fetches that only the runtime's own fetch can make: other schemes, options that only it has, and those for a dispatcher that
// the program has put in place of its own.

const { coded, invalidValue } = require('../common/errors.js')
const { membersOf } = require('./init.js')
const { mostOf } = require('../exchange/response-size.js')
const { timeoutOf } = require('./request.js')
const { isPrivate } = require('./redirect.js')
const { limited } = require('./runtime-response.js')
const { parsed } = require('./target.js')
const { isNode, runtimeFetch } = require('./platform.js')

const NO_FETCH =
  "only the runtime's own fetch can make this fetch, and this process has none (--no-experimental-fetch?)"
const MISFIT = "can't be combined with options that only the runtime's own fetch understands"

/**
 * @param {any} input
 * @param {any} init as it was given
 * @param {import('./init.js').Init | null} read what it says
 * @param {ReadonlySet<string> | null} confined
 * @returns {Promise<Response>}
 */
function fallbackFetch(input, init, read, confined) {
  if (runtimeFetch === undefined) throw coded('ERR_INVALID_STATE', NO_FETCH)
  // The runtime's fetch takes fields that it knows nothing of along to wherever a redirect leads.
  const staysHere = confined !== null && [...confined].some((name) => !isPrivate(name))
  if (
    read === null ||
    (read.agent === undefined &&
      read.timeout === undefined &&
      read.maxResponseSize === undefined &&
      typeof read.client !== 'string' &&
      !staysHere)
  ) {
    return runtimeFetch(input, init)
  }
  const { agent, timeout, maxResponseSize, ...rest } = membersOf(init)
  const most = mostOf(maxResponseSize)
  refuseAgent(input, agent)
  if (typeof read.client === 'string') throw invalidValue('client', read.client, MISFIT)
  const timeoutMs = timeoutOf(timeout)
  if (timeoutMs > 0) {
    const late = AbortSignal.timeout(timeoutMs)
    const signal = 'signal' in rest ? rest.signal : input?.signal
    rest.signal = signal ? AbortSignal.any([signal, late]) : late
  }
  if (staysHere && (rest.redirect ?? 'follow') === 'follow') rest.redirect = 'error'
  const response = runtimeFetch(input, rest)
  return most > 0 && most < Number.POSITIVE_INFINITY ? response.then((whole) => limited(whole, most)) : response
}

/**
 * An agent's trust and limits would not count.
 * @param {any} input
 * @param {any} agent
 */
function refuseAgent(input, agent) {
  const url = parsed(input instanceof Request ? input.url : String(input))
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return
  const chosen = typeof agent === 'function' ? agent(url) : agent
  if (chosen === undefined || chosen === null) return
  throw invalidValue('agent', chosen, MISFIT)
}

/**
 * Whether this is for the runtime's own fetch: schemes other than HTTP, and options that only it has.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 */
function isForFallback(input, init) {
  const spelled = typeof input === 'string' ? input : input instanceof URL ? input.href : input?.url
  if (typeof spelled === 'string' && /^\s*(?!https?:)[a-z][a-z0-9+.-]*:/i.test(spelled) && parsed(spelled) !== null) {
    return true
  }
  if (init?.isForFallback) return true
  let integrity = init?.integrity
  if (integrity === undefined && input instanceof Request) integrity = input.integrity
  return integrity !== undefined && integrity !== ''
}

/**
 * Whether the runtime's own fetch takes a URL that ours refuses: on Bun and Deno, one with credentials.
 * @param {any} input
 */
function onlyRuntimeTakes(input) {
  if (isNode) return false
  const url = parsed(typeof input === 'string' ? input : (input?.href ?? input?.url))
  return url !== null && (url.username !== '' || url.password !== '')
}

module.exports = { fallbackFetch, isForFallback, onlyRuntimeTakes }
