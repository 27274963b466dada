'use strict'

// Fast exchanges that have something to tell in the next tick: one tick serves them all.

const { nextTick } = require('../runtime/captured.js')

/** @typedef {import('./exchange.js').FastExchange} FastExchange */

/** @type {FastExchange[]} */
let due = []

/** @param {FastExchange} exchange */
function enqueue(exchange) {
  if (due.length === 0) nextTick(tellAll)
  due.push(exchange)
}

function tellAll() {
  const exchanges = due
  due = []
  let at = 0
  try {
    while (at < exchanges.length) {
      const exchange = exchanges[at]
      at += 1
      exchange.resource.runInAsyncScope(tell, null, exchange)
    }
  } finally {
    // A listener has thrown: the others have their turn all the same.
    if (at < exchanges.length) for (const exchange of exchanges.slice(at)) enqueue(exchange)
  }
}

/** @param {FastExchange} exchange */
function tell(exchange) {
  exchange.tell()
}

module.exports = { enqueue }
