'use strict'

// The options `policy` and `breaker`: what each host of an agent's is spared. docs/limits-per-host.md has the user's side.

const { isPromise, notA, notANumber, outOfRange, refuseUnknown } = require('../errors.js')

/** How long a host may have its requests paused by Retry-After, in ms, unless its policy says otherwise. */
const LONGEST_PAUSE = 300_000
const BREAKER = Object.freeze({ failures: 5, cooldown: 10_000 })

const LIMITS = Object.freeze(['concurrency', 'rps', 'burst', 'retryAfter'])

/**
 * @typedef {object} HostLimits
 * @property {number} concurrency requests under way
 * @property {number} rps requests that begin within a second
 * @property {number} burst requests that may begin at once, after a silence
 * @property {number} retryAfterMs the longest pause that Retry-After brings about; 0: none
 */

/** What a host has that has no policy. @type {Readonly<HostLimits>} */
const NO_LIMITS = Object.freeze({
  concurrency: Number.POSITIVE_INFINITY,
  rps: Number.POSITIVE_INFINITY,
  burst: 1,
  retryAfterMs: 0,
})

/**
 * @param {unknown} given what a policy says of a host; nothing: there are no limits
 * @returns {Readonly<HostLimits>}
 * @throws for what makes no sense
 */
function hostLimits(given) {
  if (given === undefined || given === null) return NO_LIMITS
  if (typeof given !== 'object' || isPromise(given)) throw notA('object', 'policy()', given)
  refuseUnknown('policy()', given, LIMITS)
  const { concurrency, rps, burst, retryAfter } = /** @type {Record<string, unknown>} */ (given)
  return Object.freeze({
    concurrency: Math.floor(numberOf('concurrency', concurrency, NO_LIMITS.concurrency, 1)),
    rps: numberOf('rps', rps, NO_LIMITS.rps, Number.MIN_VALUE),
    burst: Math.floor(numberOf('burst', burst, NO_LIMITS.burst, 1)),
    retryAfterMs: typeof retryAfter === 'boolean' ? Number(retryAfter) * LONGEST_PAUSE : pauseOf(retryAfter),
  })
}

/** @param {unknown} retryAfter */
function pauseOf(retryAfter) {
  return numberOf('retryAfter', retryAfter, LONGEST_PAUSE, 0)
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} otherwise
 * @param {number} least
 */
function numberOf(name, value, otherwise, least, of = 'policy()') {
  if (value === undefined) return otherwise
  if (typeof value !== 'number') throw notANumber(`${of}.${name}`, value)
  if (Number.isNaN(value) || value < least) {
    throw outOfRange(`${of}.${name}`, least === Number.MIN_VALUE ? '> 0' : `>= ${least}`, value)
  }
  return value
}

/**
 * @param {unknown} option
 * @returns {{ failures: number, cooldown: number } | null} null: there is none
 * @throws for what makes no sense
 */
function breakerOf(option) {
  if (option === undefined || option === null || option === false) return null
  if (option === true) return BREAKER
  if (typeof option !== 'object') throw notA('boolean or object', 'breaker', option)
  refuseUnknown('breaker', option, Object.keys(BREAKER))
  const { failures, cooldown } = /** @type {Record<string, unknown>} */ (option)
  return {
    failures: Math.floor(numberOf('failures', failures, BREAKER.failures, 1, 'breaker')),
    cooldown: numberOf('cooldown', cooldown, BREAKER.cooldown, 0, 'breaker'),
  }
}

/** @param {unknown} policy an agent's */
function checkPolicy(policy) {
  if (policy !== undefined && typeof policy !== 'function') throw notA('function', 'policy', policy)
}

module.exports = { breakerOf, checkPolicy, hostLimits }
