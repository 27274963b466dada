'use strict'

// What an agent remembers of names: the engine does, as the option `dns` says.

const native = require('../bridge/native.js')
const { nameCacheOf } = require('../common/dns-option.js')

/**
 * @param {number} agent the engine's number
 * @param {unknown} option
 */
function rememberNames(agent, option) {
  const settings = nameCacheOf(option)
  if (settings !== null) native.cacheNames(agent, settings)
}

/**
 * @param {number} agent the engine's number
 * @returns what `stats().dns` shows; null: it remembers none
 */
function rememberedNames(agent) {
  const counts = native.cachedNames(agent)
  if (counts === null) return null
  const [entries, hits, stale, misses, dropped] = counts
  return { entries, hits, stale, misses, dropped }
}

module.exports = { rememberedNames, rememberNames }
