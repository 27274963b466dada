'use strict'

// What proxies did and what is open through them, for the page of proxies.

const { shapeOfProxy } = require('../agent/stats.js')
const native = require('../bridge/native.js')

/** Of a proxy, origins that are told: those with most connections. */
const MOST_TARGETS = 20

/** As in stats(), but without the buckets of its times, which the page does not show. */
function proxyRows() {
  return native.proxies(undefined, MOST_TARGETS).map((told) => {
    const { proxyMs, ...shape } = shapeOfProxy(told)
    const { count, max, p50, p99 } = proxyMs
    return { name: told.name, ...shape, targetCount: told.targetCount, proxyMs: { count, max, p50, p99 } }
  })
}

module.exports = { proxyRows }
