'use strict'

// What the process did, for Prometheus, as text or in a registry of prom-client's.

const { register } = require('./registry.js')
const { OPEN_METRICS, prefersOpenMetrics, render, TEXT } = require('./text.js')
const { told } = require('./told.js')

/**
 * All metrics as text.
 * @param {{ accept?: string } & import('./told.js').Naming} [options] `accept`: a request's header, which may ask for OpenMetrics
 */
function metrics({ accept, ...naming } = {}) {
  return render(told(naming), prefersOpenMetrics(accept))
}

/**
 * What metrics() is, for the response's header.
 * @param {string} [accept] the request's
 */
function contentType(accept) {
  return prefersOpenMetrics(accept) ? OPEN_METRICS : TEXT
}

module.exports = { contentType, metrics, register }
