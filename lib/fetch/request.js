'use strict'

// A request of a fetch: what the engine is told, read from what fetch() was called with. simple-request.js reads most calls,
// any-request.js all others.

const { invalidValue, notANumber, outOfRange } = require('../common/errors.js')

/**
 * One request of a fetch, whoever is to carry it.
 * @typedef {object} FetchRequest
 * @property {import('./target.js').Target} target
 * @property {string} method
 * @property {string[]} fields names in lower case and values in turn
 * @property {string | Uint8Array | ReadableStream<Uint8Array> | null} body
 * @property {number} length of the body, in bytes; -1: there is none, or nobody knows
 * @property {(() => ReadableStream<Uint8Array>) | null} renew makes the body anew if it is a stream; null: nobody can
 * @property {'follow' | 'error' | 'manual'} redirect
 * @property {number} redirects that were followed to get here
 * @property {AbortSignal | null} signal
 * @property {number} timeoutMs 0: none
 * @property {any} agent as the user gave it
 * @property {Record<string, any> | null} proxying what the user says of proxies; null: nothing
 * @property {boolean} isForClient whether reqwest's client is to carry it
 * @property {number} maxResponseSize most bytes of the response's body, decoded; Infinity: any number; 0: the default
 * @property {ReadonlySet<string> | null} confined names of fields that no redirect may take to another origin
 * @property {string} mode as the standard's
 * @property {boolean} isTainted whether a redirect has left the origin
 * @property {string} referrer the URL of what it comes from; '': nobody has said, or the server is not to know
 * @property {string} referrerPolicy how much of it the server is to know
 * @property {import('./channels.js').Trace | null} trace what tracers hear of it; null: nobody listens
 * @property {Place | null} place where it was made in place of the runtime's own fetch
 */

/**
 * The place of `globalThis.fetch`.
 * @typedef {object} Place
 * @property {(input: any, init?: any) => Promise<Response>} theirs the runtime's own fetch, or what wraps it
 * @property {boolean} isWrapped whether somebody has wrapped ours there
 */

/** What a timer takes. */
const LONGEST_TIMEOUT_MS = 0x7fff_ffff

/**
 * @param {import('./target.js').Target} target
 * @param {string} method
 * @param {string[]} fields
 * @param {FetchRequest['body']} body
 * @param {number} length
 * @returns {FetchRequest}
 */
function makeRequest(target, method, fields, body, length) {
  return {
    target,
    method,
    fields,
    body,
    length,
    renew: null,
    redirect: 'follow',
    redirects: 0,
    signal: null,
    timeoutMs: 0,
    agent: undefined,
    proxying: null,
    isForClient: false,
    maxResponseSize: 0,
    confined: null,
    mode: 'cors',
    isTainted: false,
    referrer: '',
    referrerPolicy: '',
    trace: null,
    place: null,
  }
}

/**
 * @param {string[]} fields
 * @param {Headers} headers
 */
function addFields(fields, headers) {
  headers.forEach((value, name) => {
    fields.push(name, value)
  })
}

/** @param {unknown} timeout */
function timeoutOf(timeout) {
  if (timeout === undefined || timeout === null) return 0
  if (typeof timeout !== 'number') throw notANumber('timeout', timeout)
  if (!(timeout >= 0)) throw outOfRange('timeout', '>= 0', timeout)
  return Math.min(Math.ceil(timeout), LONGEST_TIMEOUT_MS)
}

/**
 * Whether the option says that reqwest's client is to carry a fetch. What is no text means nothing, as unknown members do.
 * @param {unknown} client
 * @param {any} agent
 */
function isClient(client, agent) {
  if (typeof client !== 'string') return false
  if (client !== 'reqwest') throw invalidValue('client', client, "must be 'reqwest'")
  if (agent !== undefined && agent !== null) throw invalidValue('client', client, "can't be combined with an agent")
  return true
}

module.exports = { addFields, isClient, makeRequest, timeoutOf }
