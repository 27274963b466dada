'use strict'

// What differs between the runtimes' own fetches, so that ours does as each of them.

const events = require('node:events')

const { fetch: runtimeFetch } = require('../runtime/captured.js')
const { isBun, isDeno, isNode } = require('../runtime/probes.js')

const { bun, deno } = process.versions
const userAgent = isBun ? `Bun/${bun}` : isDeno ? `Deno/${deno}` : 'node'

/**
 * Fields that each request has unless its user set them, in the runtime's order.
 * @type {[string, string][]}
 */
const defaultFields = [
  ['accept', '*/*'],
  ...(isBun ? [] : [/** @type {[string, string]} */ (['accept-language', '*'])]),
  ...(isNode ? [/** @type {[string, string]} */ (['sec-fetch-mode', 'cors'])] : []),
  ['user-agent', userAgent],
]

/** `response.type` of what was fetched. */
const responseType = isBun ? 'default' : 'basic'

/** What changing a fetched response's headers throws; Bun lets one change them. */
const immutableMessage = isBun ? null : isDeno ? 'Cannot change headers: headers are immutable' : 'immutable'

/** Ports that browsers, Node and Deno refuse (fetch.spec.whatwg.org, "port blocking"). */
const badPorts = new Set(
  isBun
    ? []
    : [
        0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
        110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530,
        531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190,
        5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
      ].map(String),
)

/** Options that only the runtime's own fetch understands: who gives one gets that one. */
const runtimeOptions = isBun
  ? ['proxy', 'tls', 'unix', 'verbose', 's3', 'decompress']
  : isDeno
    ? ['client']
    : ['dispatcher']

/** Whether the runtime's own fetch sends the `host` that its user has set; the others send the URL's. */
const keepsHost = isBun

/** Whether the runtime's own fetch keeps other caches from answering a request with a condition. */
const shunsCaches = isNode

/** Whether the runtime's own fetch heeds `mode` and `referrer`, and tells them (the others' Requests know neither). */
const hasModes = isNode

/** Whether the runtime's own fetch sends values with control characters, which the others refuse. */
const sendsControls = isBun

/** @param {AbortSignal} signal */
function mostListeners(signal) {
  try {
    return events.getMaxListeners(signal)
  } catch {
    // Some versions know of none as long as nobody has set it, or have no such function.
    return events.defaultMaxListeners
  }
}

/**
 * Many fetches share a signal: some versions of Node take more than ten for a leak, and warn.
 * @param {AbortSignal} signal
 */
function letManyListen(signal) {
  // Whatever its owner has chosen stays.
  if (isNode && mostListeners(signal) === events.defaultMaxListeners) events.setMaxListeners(0, signal)
}

module.exports = {
  badPorts,
  defaultFields,
  runtimeOptions,
  hasModes,
  immutableMessage,
  isBun,
  isDeno,
  isNode,
  keepsHost,
  letManyListen,
  responseType,
  runtimeFetch,
  sendsControls,
  shunsCaches,
}
