'use strict'

// fetch.withDefaults(): the wrapper that users write themselves. Responses other than 2xx reject, what may be sent again
// is, a server that asks for patience gets it.

const { Buffer } = require('node:buffer')

const { clearTimeout, dateNow, setTimeout } = require('../captured.js')
const { notANumber, outOfRange } = require('../errors.js')

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
 * @param {(input: any, init?: any) => Promise<Response>} fetch
 * @param {any} [defaults]
 */
function withDefaults(fetch, defaults = {}) {
  const { baseUrl, headers, retry, ...rest } = defaults ?? {}
  const rules = checkedRetry(retry)
  const base = baseUrl === undefined ? undefined : new URL(baseUrl)

  /**
   * @param {any} input
   * @param {any} [init]
   */
  async function fetchWithDefaults(input, init) {
    const { retry: ownRetry, ...own } = init ?? {}
    const rule = ownRetry === undefined ? rules : checkedRetry(ownRetry === false ? false : { ...rules, ...ownRetry })
    const isRequest = input instanceof Request
    const target = base !== undefined && !isRequest ? new URL(String(input), base) : input
    const all = { ...rest, ...own }
    const merged = mergedHeaders(headers, own.headers ?? (isRequest ? input.headers : undefined))
    if (merged !== undefined) all.headers = merged
    const method = String(all.method ?? (isRequest ? input.method : 'GET')).toUpperCase()
    const signal = all.signal ?? (isRequest ? input.signal : undefined)
    const most = mayRepeat(method, all.body ?? null, isRequest ? input : null) ? rule.attempts : 1
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt >= most
      let pauseMs = pauseOf(rule, attempt)
      try {
        // A Request's body is spent by the first attempt: those that have one are not repeated.
        const response = await fetch(target, all)
        if (response.ok) return response
        const asked = retryAfter(response)
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
    const { headers: moreHeaders, retry: moreRetry, ...others } = more ?? {}
    const combined = { baseUrl, ...rest, ...others, headers: mergedHeaders(headers, moreHeaders) }
    return withDefaults(fetch, { ...combined, retry: moreRetry === undefined ? retry : moreRetry })
  }
  return fetchWithDefaults
}

/**
 * @param {any} base
 * @param {any} own win over those of the base
 */
function mergedHeaders(base, own) {
  if (base === undefined) return own
  const merged = new Headers(base)
  const given = new Headers(own)
  given.forEach((value, name) => {
    merged.set(name, value)
  })
  return merged
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
 * How long a server asks to wait, in ms; -1: it does not (RFC 9110, section 10.2.3).
 * @param {Response} response
 */
function retryAfter(response) {
  const value = response.headers.get('retry-after')
  if (value === null) return -1
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? -1 : Math.max(0, date - dateNow())
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
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, EXCERPT_MS, LATE)
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
  clearTimeout(timer)
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
