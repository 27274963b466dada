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

const { toString: sourceOf } = Function.prototype
/** @type {{ nanoseconds(): number } | undefined} */
const bun = /** @type {any} */ (globalThis).Bun

/** The clock of what is measured. @returns {() => number} */
function clockOf() {
  // On Node a clock may be put over it, on the object itself.
  const { now } = Object.getPrototypeOf(performance)
  if (now !== undefined) return now.bind(performance)
  // On Bun it is in the place of the runtime's own, which nobody keeps: that counts from the same moment.
  if (bun !== undefined && !sourceOf.call(performance.now).includes('[native code]')) {
    const { nanoseconds } = bun
    return () => nanoseconds() / 1e6
  }
  return performance.now.bind(performance)
}

/** Where it costs nothing to look at: Node would load its fetch. */
const ResponseClass = process.versions.bun || process.versions.deno ? Response : undefined

module.exports = {
  clearTimeout: behindClock(timers.clearTimeout, 'clearTimeout'),
  dateNow: behindClock(Date, 'Date').now,
  /** What our own fetch does not carry goes there. */
  fetch: globalThis.fetch,
  nextTick: behindClock(process.nextTick, 'nextTick'),
  now: clockOf(),
  /** @type {typeof Response | undefined} */
  Response: ResponseClass,
  queueMicrotask: behindClock(queueMicrotask, 'queueMicrotask'),
  setImmediate: behindClock(timers.setImmediate, 'setImmediate'),
  /** @type {typeof timers.setTimeout} */
  setTimeout: behindClock(timers.setTimeout, 'setTimeout'),
}
