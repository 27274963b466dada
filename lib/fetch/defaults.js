'use strict'

// fetch.withDefaults(): the wrapper that users write themselves. Responses other than 2xx reject, what may be sent again
// is, a server that asks for patience gets it.
//
// Header fields among the defaults are for the origin of `baseUrl`: they are credentials as often as not, and a URL is often
// made of what somebody else has sent. They are not sent anywhere else, whatever the URL or a redirect says.

const { Buffer } = require('node:buffer')

const { clearTimeout, setTimeout } = require('../runtime/captured.js')
const { Deadline } = require('../common/deadline.js')
const { notA, notANumber, outOfRange } = require('../common/errors.js')
const { askedPause } = require('../exchange/retry-after.js')
const { membersOf } = require('./init.js')

const EXCERPT_BYTES = 2048
/** How long the beginning of an error's body is waited for. */
const EXCERPT_MS = 500
const LATE = Object.freeze({ done: true, value: undefined })
const LONGEST_PAUSE_MS = 60_000
const FIRST_PAUSE_MS = 200
const ATTEMPTS = 3
/** Methods that may be sent twice (RFC 9110, section 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])
const RETRIED_STATUSES = [408, 425, 429, 500, 502, 503, 504]
const RETRIED_CODES = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'UND_ERR_SOCKET'])

/** Default fields that say nothing secret, and go to every origin (as in the standard's safelist). */
const HARMLESS_FIELDS = new Set(['accept', 'accept-encoding', 'accept-language', 'content-type', 'user-agent'])

/** A response that is not 2xx. */
class HttpError extends Error {
  /**
   * @param {string} method
   * @param {Response} response
   * @param {string} excerpt
   * @param {number} attempts
   */
  constructor(method, response, excerpt, attempts) {
    super(`${method} ${response.url}: ${response.status} ${response.statusText}`.trimEnd())
    this.code = 'ERR_KEEPWIRE_HTTP_STATUS'
    this.status = response.status
    this.statusText = response.statusText
    this.url = response.url
    this.headers = response.headers
    /** The beginning of the response's body, as text. */
    this.excerpt = excerpt
    this.attempts = attempts
  }
}
Object.defineProperty(HttpError.prototype, 'name', { value: 'HttpError', configurable: true, writable: true })

/**
 * @typedef {object} Retry
 * @property {number} attempts
 * @property {number | ((attempt: number) => number)} backoff ms
 * @property {readonly number[] | ((status: number) => boolean)} on
 */

/**
 * @param {any} retry
 * @returns {Retry}
 */
function checkedRetry(retry) {
  if (retry === false) return { attempts: 1, backoff: 0, on: [] }
  const { attempts = ATTEMPTS, backoff = FIRST_PAUSE_MS, on = RETRIED_STATUSES } = retry ?? {}
  if (typeof attempts !== 'number') throw notANumber('retry.attempts', attempts)
  if (!(attempts >= 1)) throw outOfRange('retry.attempts', '>= 1', attempts)
  if (typeof backoff !== 'function') {
    if (typeof backoff !== 'number') throw notANumber('retry.backoff', backoff)
    if (!(backoff >= 0)) throw outOfRange('retry.backoff', '>= 0', backoff)
  }
  return { attempts, backoff, on }
}

/**
 * Default header fields, and what they are for.
 * @typedef {object} Layer
 * @property {Headers} headers
 * @property {URL | null} base null: for whatever is fetched
 */

/**
 * @param {(input: any, init: any, confined: ReadonlySet<string> | null) => Promise<Response>} fetch
 * @param {any} [defaults]
 * @param {Layer[]} [outer] the fields of the fetch that this one has its other defaults of
 */
function withDefaults(fetch, defaults = {}, outer = []) {
  const { baseUrl, headers, retry, allowOtherOrigins = false, ...rest } = membersOf(defaults)
  const rules = checkedRetry(retry)
  checkAllowed(allowOtherOrigins)
  const base = baseUrl === undefined ? null : new URL(baseUrl)
  /** @type {Layer[]} */
  const layers = outer.map((layer) => ({ headers: layer.headers, base: layer.base ?? base }))
  if (headers !== undefined) layers.push({ headers: new Headers(headers), base })

  /**
   * @param {any} input
   * @param {any} [init]
   */
  async function fetchWithDefaults(input, init) {
    const { retry: ownRetry, allowOtherOrigins: isAllowed = allowOtherOrigins, ...own } = membersOf(init)
    checkAllowed(isAllowed)
    const rule = ownRetry === undefined ? rules : checkedRetry(ownRetry === false ? false : { ...rules, ...ownRetry })
    const isRequest = input instanceof Request
    const target = base !== null && !isRequest ? new URL(String(input), base) : input
    const url = base === null ? null : isRequest ? new URL(input.url) : target
    if (url !== null && base !== null && !isAllowed && !isSameOrigin(url, base)) throw leaves(url, base)
    const all = { ...rest, ...own }
    const { merged, confined } = headersFor(layers, url, own.headers ?? (isRequest ? input.headers : undefined))
    if (merged !== undefined) all.headers = merged
    const method = String(all.method ?? (isRequest ? input.method : 'GET')).toUpperCase()
    const signal = all.signal ?? (isRequest ? input.signal : undefined)
    const most = mayRepeat(method, all.body ?? null, isRequest ? input : null) ? rule.attempts : 1
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt >= most
      let pauseMs = pauseOf(rule, attempt)
      try {
        // A Request's body is spent by the first attempt: those that have one are not repeated.
        const response = await fetch(target, all, confined)
        if (response.ok) return response
        const { headers } = response
        const asked = askedPause(headers.get('retry-after'), headers.get('date'))
        if (isLast || !isRetried(rule, response.status) || asked > LONGEST_PAUSE_MS) {
          throw new HttpError(method, response, await excerptOf(response), attempt)
        }
        if (asked >= 0) pauseMs = asked
        await discard(response)
      } catch (error) {
        if (error instanceof HttpError || isLast || signal?.aborted || !isPassing(error)) throw error
      }
      await pause(pauseMs, signal)
    }
  }
  fetchWithDefaults.withDefaults = (/** @type {any} */ more) => {
    return withDefaults(fetch, { baseUrl, retry, allowOtherOrigins, ...rest, ...membersOf(more) }, layers)
  }
  return fetchWithDefaults
}

/** @param {unknown} allowOtherOrigins */
function checkAllowed(allowOtherOrigins) {
  if (typeof allowOtherOrigins !== 'boolean') throw notA('boolean', 'allowOtherOrigins', allowOtherOrigins)
}

/**
 * By scheme and host: the `origin` of a blob's URL is that of another URL.
 * @param {URL} url
 * @param {URL} base
 */
function isSameOrigin(url, base) {
  return url.protocol === base.protocol && url.host === base.host
}

/**
 * @param {URL} url
 * @param {URL} base
 */
function leaves(url, base) {
  const message = `${url.protocol}//${url.host} is not the origin of baseUrl (${base.protocol}//${base.host}); the option "allowOtherOrigins" allows it`
  return Object.assign(new TypeError(message), { code: 'ERR_KEEPWIRE_OTHER_ORIGIN' })
}

/**
 * The fields of a request, and which of them may not go to another origin with a redirect.
 * @param {Layer[]} layers
 * @param {URL | null} url null: there is no baseUrl, and the fields are for what is fetched first
 * @param {any} own win over the defaults
 * @returns {{ merged: any, confined: ReadonlySet<string> | null }}
 */
function headersFor(layers, url, own) {
  if (layers.length === 0) return { merged: own, confined: null }
  const merged = new Headers()
  /** @type {Set<string>} */
  const confined = new Set()
  for (const { headers, base } of layers) {
    const isHome = base === null || url === null || isSameOrigin(url, base)
    setAll(merged, headers, (name) => {
      const isHarmless = HARMLESS_FIELDS.has(name)
      if (isHome && !isHarmless) confined.add(name)
      return isHome || isHarmless
    })
  }
  // What is given to one fetch goes where the standard lets it go.
  setAll(merged, new Headers(own), (name) => {
    confined.delete(name)
    return true
  })
  return { merged, confined }
}

/**
 * @param {Headers} to
 * @param {Headers} from
 * @param {(name: string) => boolean} takes
 */
function setAll(to, from, takes) {
  from.forEach((value, name) => {
    if (takes(name)) to.set(name, value)
  })
}

/**
 * @param {string} method
 * @param {any} body
 * @param {Request | null} request
 */
function mayRepeat(method, body, request) {
  if (!IDEMPOTENT.has(method)) return false
  if (request?.body) return false
  if (body === null || typeof body === 'string' || ArrayBuffer.isView(body)) return true
  const whole = [ArrayBuffer, Blob, FormData, URLSearchParams]
  return whole.some((Kind) => body instanceof Kind)
}

/**
 * @param {Retry} rule
 * @param {number} status
 */
function isRetried({ on }, status) {
  return typeof on === 'function' ? on(status) : on.includes(status)
}

/**
 * Whether a failure may pass by itself.
 * @param {any} error
 */
function isPassing(error) {
  return error instanceof TypeError && RETRIED_CODES.has(/** @type {any} */ (error.cause)?.code)
}

/**
 * @param {Retry} rule
 * @param {number} attempt 1 for the first
 */
function pauseOf({ backoff }, attempt) {
  if (typeof backoff === 'function') return Number(backoff(attempt)) || 0
  return Math.min(backoff * 2 ** (attempt - 1), LONGEST_PAUSE_MS)
}

/**
 * @param {number} ms
 * @param {AbortSignal | undefined | null} signal
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const abort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve(undefined)
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/**
 * The beginning of a body: what has come when there is enough of it, or when enough time has passed. The rest is given up.
 * @param {Response} response
 */
async function excerptOf(response) {
  const { body } = response
  if (body === null) return ''
  const reader = body.getReader()
  /** @type {Uint8Array[]} */
  const read = []
  let length = 0
  /** @type {Deadline | undefined} */
  let deadline
  const late = new Promise((resolve) => {
    deadline = new Deadline(EXCERPT_MS, () => resolve(LATE))
  })
  try {
    while (length < EXCERPT_BYTES) {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      read.push(value)
      length += value.byteLength
    }
  } catch {
    // What has come is what there is.
  }
  deadline?.end()
  reader.cancel().catch(() => {})
  return new TextDecoder().decode(Buffer.concat(read).subarray(0, EXCERPT_BYTES))
}

/** Reads a response that nobody wants, so that its connection serves the next attempt. @param {Response} response */
async function discard(response) {
  try {
    await excerptOf(response)
  } catch {
    // Nobody wants it.
  }
}

module.exports = { HttpError, withDefaults }
