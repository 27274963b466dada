'use strict'

// What an agent remembers of names, and which of their addresses it connects to: the engine does, as the options `dns` and
// `addresses` say.

const native = require('../bridge/native.js')
const { nameCacheOf } = require('../common/options/dns.js')

/**
 * @param {number} agent the engine's number
 * @param {Record<string, any>} options the agent's
 */
function nameSettings(agent, { addresses, dns }) {
  const settings = nameCacheOf(dns)
  if (settings !== null) native.cacheNames(agent, settings)
  if (addresses === 'spread') native.spreadAddresses(agent)
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

module.exports = { nameSettings, rememberedNames }
