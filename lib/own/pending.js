'use strict'

// Lean requests that were made in this tick and have no connection yet: they get theirs in the next tick, all in one go.
// Nobody can tell, because who looks at their agent before, or gives it another request, has them made whole first.

/** @typedef {import('./exchange.js').LeanExchange} LeanExchange */

/** In order of their creation. @type {LeanExchange[]} */
let pending = []

/** @param {LeanExchange} exchange */
function add(exchange) {
  if (pending.length === 0) process.nextTick(startAll)
  pending.push(exchange)
}

function startAll() {
  const exchanges = pending
  pending = []
  for (const exchange of exchanges) if (!exchange.isWhole) exchange.start()
}

/**
 * Gives the agent's pending requests their connections now.
 * @param {any} agent
 */
function settlePending(agent) {
  if (pending.length === 0) return
  for (const exchange of [...pending]) if (exchange.agent === agent && !exchange.isWhole) exchange.whole()
}

module.exports = { add, settlePending }
