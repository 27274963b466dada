'use strict'

// Options that are ours are refused where the runtime refuses its own: at an agent's construction.

const { invalidValue, notA, notANumber, outOfRange } = require('../errors.js')
const { proxyOf } = require('../proxies/option.js')
const { nameCacheOf } = require('./dns.js')
const { breakerOf, checkPolicy } = require('./policy.js')
const { AGENT, CONNECTION, namesOf } = require('./table.js')

/** @typedef {Record<string, any>} Options */

/**
 * @param {unknown} value
 * @param {string} name
 */
function number(value, name) {
  if (value === undefined) return
  if (typeof value !== 'number') throw notANumber(name, value)
  if (Number.isNaN(value) || value < 0) throw outOfRange(name, '>= 0', value)
}

/** Options that must be numbers. */
const NUMBERS = namesOf([...AGENT, ...CONNECTION], (row) => row.number)

/**
 * Checks the options that are ours, at construction as the runtime checks its own.
 * @param {Options | undefined} options
 */
function validate(options) {
  if (options === undefined || options === null) return
  for (const name of NUMBERS) number(options[name], name)
  const { addresses, allowAddress, h2c, http2, io, retry, shared, warnings } = options
  if (http2 !== undefined && typeof http2 !== 'boolean') throw notA('boolean', 'http2', http2)
  if (h2c !== undefined && typeof h2c !== 'boolean') throw notA('boolean', 'h2c', h2c)
  if (h2c && (options.proxyEnv || options.proxy)) throw invalidValue('h2c', h2c, 'can not be had with proxies')
  if (shared !== undefined && typeof shared !== 'boolean') throw notA('boolean', 'shared', shared)
  if (warnings !== undefined && typeof warnings !== 'boolean') throw notA('boolean', 'warnings', warnings)
  if (allowAddress !== undefined) {
    if (typeof allowAddress !== 'function') throw notA('function', 'allowAddress', allowAddress)
    // It is they who know what they connect to.
    if (options.proxyEnv || options.proxy)
      throw invalidValue('allowAddress', allowAddress, 'can not be had with proxies')
  }
  if (nameCacheOf(options.dns)?.rotate && options.lookup) {
    // It is asked when connections are opened, and not in between.
    throw invalidValue('dns.rotate', true, 'can not be had with a lookup')
  }
  if (addresses !== undefined && addresses !== 'first' && addresses !== 'spread') {
    throw invalidValue('addresses', addresses, "must be one of: 'first', 'spread'")
  }
  checkPolicy(options.policy)
  breakerOf(options.breaker)
  proxyOf(options)
  if (retry !== undefined && retry !== 'safe' && retry !== false) {
    throw invalidValue('retry', retry, "must be one of: 'safe', false")
  }
  if (io !== undefined && io !== 'auto' && io !== 'thread') {
    throw invalidValue('io', io, "must be one of: 'auto', 'thread'")
  }
}

/**
 * Refuses an agent's `timeout` as the runtime does: not before a request wants a connection, whose timeout it would be.
 * @param {Options} options an agent's
 */
function checkTimeout({ timeout }) {
  if (!timeout) return
  if (typeof timeout !== 'number') throw notANumber('msecs', timeout)
  if (timeout < 0 || !Number.isFinite(timeout)) throw outOfRange('msecs', 'a non-negative finite number', timeout)
}

module.exports = { checkTimeout, validate }
