'use strict'

// What there is to tell of the process: its origins, and the proxies on the way.

const { proxies, together } = require('../agent/stats.js')
const { totals } = require('../agent/totals.js')

/** @typedef {import('../agent/stats.js').ProxyStats} ProxyStats */
/** @typedef {Omit<ProxyStats, 'lastError' | 'targets' | 'open'>} Proxy */
/** @typedef {{ origin?: (origin: string) => string, proxy?: (proxy: string) => string }} Naming */

/** All proxies beyond the first 256. */
const OTHER = 'other'

/**
 * By name: the engine has 256 of them, and all others as one.
 * @param {(proxy: string) => string} named
 */
function proxiesBy(named) {
  /** @type {Map<string, Proxy>} */
  const all = new Map()
  for (const [name, { lastError, open, targets, ...counts }] of Object.entries(proxies(undefined, 0))) {
    const told = name === OTHER ? name : String(named(name))
    all.set(told, together(all.get(told), counts))
  }
  return Object.fromEntries(all)
}

/** @param {Naming} naming `origin`: as of totals(); `proxy`: what a proxy is called, those with the same name are added up */
function told({ origin, proxy = (name) => name }) {
  return { origin: totals({ origin }), proxy: proxiesBy(proxy) }
}

module.exports = { told }
