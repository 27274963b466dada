'use strict'

// What tells time and puts work off, as the runtime has it: tests replace these with clocks of their own, and no request may
// wait for such a one. Captured when this package is loaded; where a clock was there before, what it has put aside is taken.

const { performance } = require('node:perf_hooks')
const timers = require('node:timers')

/**
 * The clocks of @sinonjs/fake-timers, which sinon, jest and vitest use, keep what they replace.
 * @template {Function} F
 * @param {F} value
 * @param {string} name
 * @returns {F}
 */
function behindClock(value, name) {
  const original = /** @type {any} */ (value).clock?.[`_${name}`]
  return typeof original === 'function' ? original : value
}

module.exports = {
  clearTimeout: behindClock(timers.clearTimeout, 'clearTimeout'),
  dateNow: behindClock(Date, 'Date').now,
  nextTick: behindClock(process.nextTick, 'nextTick'),
  // A clock may be put over it, on the object itself.
  now: (Object.getPrototypeOf(performance).now ?? performance.now).bind(performance),
  queueMicrotask: behindClock(queueMicrotask, 'queueMicrotask'),
  setImmediate: behindClock(timers.setImmediate, 'setImmediate'),
  /** @type {typeof timers.setTimeout} */
  setTimeout: behindClock(timers.setTimeout, 'setTimeout'),
}
