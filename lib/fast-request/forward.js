'use strict'

// Makes a prototype on which everything that the runtime's class has, and ours does without, makes the object the
// runtime's own at the first touch.

const { EventEmitter } = require('node:events')
const { inspect } = require('node:util')

const { kLean } = require('./symbols.js')

/** What an emitter has needs nothing of the class: ours are emitters. */
const EMITTERS = new Set(['constructor', 'eventNames', ...Reflect.ownKeys(EventEmitter.prototype)])

/**
 * @param {any} prototype ours
 * @param {any} runtime the prototype of the runtime's class
 * @param {() => (string | symbol)[]} sample what an instance of that class has of its own
 * @param {PropertyDescriptorMap} accessors what ours answers without
 * @param {Record<string, unknown>} methods what ours does without
 */
function forward(prototype, runtime, sample, accessors, methods) {
  const own = new Set(Reflect.ownKeys(new EventEmitter()))
  const keys = new Set(sample().filter((key) => !own.has(key)))
  for (let at = runtime; at !== EventEmitter.prototype && at !== Object.prototype && at !== null; ) {
    for (const key of Reflect.ownKeys(at)) if (!EMITTERS.has(key)) keys.add(key)
    at = Object.getPrototypeOf(at)
  }
  for (const key of keys) Object.defineProperty(prototype, key, wholesome(key))
  for (const name of Reflect.ownKeys(accessors)) {
    const { get } = /** @type {PropertyDescriptor} */ (Reflect.get(accessors, name))
    Object.defineProperty(prototype, name, { ...wholesome(name), get })
  }
  Object.defineProperty(prototype, inspect.custom, { value: inspected, configurable: true })
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, name, { value, writable: true, enumerable: false, configurable: true })
  }
}

/** What console.log() shows of it is what the runtime's has. @this {any} */
function inspected() {
  this[kLean]?.whole()
  return this
}

/** @param {string | symbol} key */
function wholesome(key) {
  return {
    /** @this {any} */
    get() {
      const exchange = this[kLean]
      // The prototype itself belongs to no exchange.
      if (exchange === undefined) return undefined
      exchange.whole()
      return this[key]
    },
    /**
     * @this {any}
     * @param {unknown} value
     */
    set(value) {
      const exchange = this[kLean]
      if (exchange === undefined) return
      exchange.whole()
      this[key] = value
    },
    enumerable: true,
    configurable: true,
  }
}

module.exports = { forward }
