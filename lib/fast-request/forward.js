'use strict'

// Makes a prototype on which everything that the runtime's class has, and ours does without, makes the object the
// runtime's own at the first touch.
//
// While an object is being made the runtime's own it still has our prototype: engines up to V8 12 look up slowly what is added
// to an object whose prototype was set. So what the runtime's constructor sets goes past this prototype's setters then, and
// what it asks for is answered by the runtime's.

const { EventEmitter } = require('node:events')
const { inspect } = require('node:util')

const { kFast } = require('./symbols.js')

/** @typedef {import('./exchange.js').FastExchange} FastExchange */

/** What an emitter has needs nothing of the class: ours are emitters. */
const EMITTERS = new Set(['constructor', 'eventNames', ...Reflect.ownKeys(EventEmitter.prototype)])

/**
 * @param {any} prototype ours
 * @param {any} runtime the prototype of the runtime's class
 * @param {() => (string | symbol)[]} sample what an instance of that class has of its own
 * @param {Record<string, (exchange: FastExchange) => unknown>} shown what ours answers without
 * @param {Record<string, unknown>} methods what ours does without
 */
function forward(prototype, runtime, sample, shown, methods) {
  const own = new Set(Reflect.ownKeys(new EventEmitter()))
  const keys = new Set(sample().filter((key) => !own.has(key)))
  for (let at = runtime; at !== EventEmitter.prototype && at !== Object.prototype && at !== null; ) {
    for (const key of Reflect.ownKeys(at)) if (!EMITTERS.has(key)) keys.add(key)
    at = Object.getPrototypeOf(at)
  }
  for (const key of keys) Object.defineProperty(prototype, key, wholesome(prototype, runtime, key))
  for (const [name, look] of Object.entries(shown)) {
    const usual = wholesome(prototype, runtime, name)
    Object.defineProperty(prototype, name, {
      ...usual,
      /** @this {any} */
      get() {
        const exchange = this[kFast]
        return exchange === undefined ? usual.get.call(this) : look(exchange)
      },
    })
  }
  Object.defineProperty(prototype, inspect.custom, { value: inspected, configurable: true })
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, name, { value, writable: true, enumerable: false, configurable: true })
  }
}

/** What console.log() shows of it is what the runtime's has. @this {any} */
function inspected() {
  this[kFast]?.promote()
  return this
}

/** @param {object} object @this {void} */
function Itself(object) {
  return object
}

/** What is defined next. @type {unknown} */
let value

/**
 * A class whose construction gives an object that exists a property of its own, whatever its prototype has: a field is
 * defined, not assigned, and costs a fraction of Object.defineProperty().
 * @param {string | symbol} key
 */
function definer(key) {
  return class extends /** @type {any} */ (Itself) {
    [key] = value
  }
}

/**
 * Whether the runtime's objects have a getter or a setter of that name.
 * @param {any} runtime
 * @param {string | symbol} key
 */
function isAccessor(runtime, key) {
  for (let at = runtime; at !== null; at = Object.getPrototypeOf(at)) {
    const found = Object.getOwnPropertyDescriptor(at, key)
    if (found !== undefined) return found.get !== undefined || found.set !== undefined
  }
  return false
}

/**
 * @param {any} prototype ours
 * @param {any} runtime the prototype of the runtime's class
 * @param {string | symbol} key
 */
function wholesome(prototype, runtime, key) {
  const accessor = isAccessor(runtime, key)
  const Definer = definer(key)
  return {
    /** @this {any} */
    get() {
      const exchange = this[kFast]
      if (exchange === undefined) return accessor ? Reflect.get(runtime, key, this) : runtime[key]
      exchange.promote()
      return this[key]
    },
    /**
     * @this {any}
     * @param {unknown} given
     */
    set(given) {
      const exchange = this[kFast]
      if (exchange !== undefined) {
        exchange.promote()
        this[key] = given
      } else if (accessor) {
        Reflect.set(runtime, key, given, this)
      } else if (this !== prototype) {
        // The prototype itself belongs to no exchange.
        value = given
        ;new /** @type {any} */ (Definer)(this)
        value = undefined
      }
    },
    enumerable: true,
    configurable: true,
  }
}

module.exports = { forward }
