'use strict'

// The option `dns`: how long an agent's engine remembers what names stand for. docs/dns.md has the user's side.

const { notA, notANumber, outOfRange, refuseUnknown } = require('../errors.js')

/** Times in ms. getaddrinfo does not say how long an answer holds; 30 s is what the JVM makes of that. */
const DEFAULTS = Object.freeze({
  ttl: 30_000,
  negativeTtl: 1_000,
  maxStale: 60_000,
  maxEntries: 1_000,
  // As many as the engine makes for agents without the option.
  maxThreads: 64,
})

const MEMBERS = Object.freeze([...Object.keys(DEFAULTS), 'rotate'])

/** @typedef {typeof DEFAULTS & { rotate: boolean }} NameCache */

/**
 * @param {unknown} option
 * @returns {NameCache | null} null: nothing is remembered
 * @throws for what makes no sense
 */
function nameCacheOf(option) {
  if (option === undefined || option === null || option === false) return null
  if (option === true) return { ...DEFAULTS, rotate: false }
  if (typeof option !== 'object') throw notA('boolean or object', 'dns', option)
  const given = /** @type {Record<string, unknown>} */ (option)
  refuseUnknown('dns', given, MEMBERS)
  const { rotate = false } = given
  if (typeof rotate !== 'boolean') throw notA('boolean', 'dns.rotate', rotate)
  /** @type {Record<string, number> & typeof DEFAULTS} */
  const settings = { ...DEFAULTS }
  for (const name of Object.keys(DEFAULTS)) {
    const value = given[name]
    if (value === undefined) continue
    if (typeof value !== 'number') throw notANumber(`dns.${name}`, value)
    if (Number.isNaN(value) || value < 0) throw outOfRange(`dns.${name}`, '>= 0', value)
    settings[name] = value
  }
  if (settings.maxEntries < 1) throw outOfRange('dns.maxEntries', '>= 1', settings.maxEntries)
  if (settings.maxThreads < 1) throw outOfRange('dns.maxThreads', '>= 1', settings.maxThreads)
  return { ...settings, rotate }
}

module.exports = { nameCacheOf }
