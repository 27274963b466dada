'use strict'

// Fast requests that were made in this tick and have no connection yet: they get theirs in the next tick, all in one go.
// Nobody can tell, because who looks at their agent before, or gives it another request, has them promoted first.

const { nextTick } = require('../runtime/captured.js')
const { queued, reuses, retries, starts } = require('../common/diagnostics.js')
const { hasListeners, measuresRequests } = require('../runtime/probes.js')

/** @typedef {import('./exchange.js').Exchange} Exchange */

/**
 * What fast requests are here.
 * @typedef {object} Fast
 * @property {boolean} isPromoted whether the runtime's own request has taken its place
 * @property {(() => void) | null} successor starts what carries it then, if that has been given its place here
 * @property {() => void} promote
 * @property {() => void} start
 */

/** @typedef {Exchange & Fast} FastExchange */

/** In order of their creation. @type {FastExchange[]} */
let pending = []

/** @param {FastExchange} exchange */
function add(exchange) {
  if (pending.length === 0) nextTick(startAll)
  pending.push(exchange)
}

/**
 * @template {Exchange} T
 * @param {T} exchange of a request that may have been promoted while it is pending
 * @param {(exchange: T) => void} start
 * @returns {boolean} whether it starts in its place among the pending ones
 */
function startsInPlace(exchange, start) {
  const fast = pending.find(({ req }) => req === exchange.req)
  if (fast === undefined) return false
  fast.successor = () => exchange.resource.runInAsyncScope(start, null, exchange)
  return true
}

/** Whether somebody listens to what is told of requests one by one. */
function isTold() {
  return queued.hasSubscribers || reuses.hasSubscribers || retries.hasSubscribers || starts.hasSubscribers
}

/** Whether somebody beside their users hears of requests that are sent. */
function isWatched() {
  return hasListeners() || measuresRequests() || isTold()
}

function startAll() {
  const exchanges = pending
  pending = []
  let at = 0
  let watched = isWatched()
  try {
    while (at < exchanges.length) {
      const exchange = exchanges[at]
      at += 1
      if (exchange.isPromoted) exchange.successor?.()
      else if (watched) exchange.promote()
      else exchange.start()
      // That may have run code of a user's.
      if (exchange.isPromoted) watched = isWatched()
    }
  } finally {
    // A listener has thrown: the others have their turn all the same.
    for (const exchange of exchanges.slice(at)) add(exchange)
  }
}

/**
 * Gives the agent's pending requests their connections now.
 * @param {any} agent
 * @param {any} [before] only those that were made before this request
 */
function settlePending(agent, before) {
  if (pending.length === 0) return
  for (const exchange of [...pending]) {
    if (exchange.req === before) return
    if (exchange.agent === agent && !exchange.isPromoted) exchange.promote()
  }
}

module.exports = { add, isWatched, settlePending, startsInPlace }
