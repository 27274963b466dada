'use strict'

// What the process did, for Prometheus, as text or in a registry of prom-client's.

const { totals } = require('../agent/totals.js')
const { register } = require('./registry.js')
const { OPEN_METRICS, prefersOpenMetrics, render, TEXT } = require('./text.js')

/**
 * All metrics as text.
 * @param {{ accept?: string, origin?: (origin: string) => string }} [options] `accept`: a request's header, which may ask for
 *   OpenMetrics; `origin`: as of totals()
 */
function metrics({ accept, origin } = {}) {
  return render(totals({ origin }), prefersOpenMetrics(accept))
}

/**
 * What metrics() is, for the response's header.
 * @param {string} [accept] the request's
 */
function contentType(accept) {
  return prefersOpenMetrics(accept) ? OPEN_METRICS : TEXT
}

module.exports = { contentType, metrics, register }
