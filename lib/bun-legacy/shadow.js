'use strict'

// Prototypes that shadow accessors of the runtime's classes, whose state our requests and responses do not have.

/**
 * Gives a prototype under one of the runtime's classes the members of another one, and plain properties in place of the
 * accessors that it inherits: those look at state which its objects do not have.
 * @param {any} prototype
 * @param {any} runtime the prototype of the runtime's class
 * @param {any} base where the members come from
 */
function shadowAccessors(prototype, runtime, base) {
  const own = Object.getOwnPropertyDescriptors(base)
  for (let at = runtime; at !== null && at !== base && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (descriptor.get === undefined || key in own) continue
      Object.defineProperty(prototype, key, { value: undefined, writable: true, configurable: true })
    }
  }
  for (const key of Reflect.ownKeys(own)) {
    if (key !== 'constructor') Object.defineProperty(prototype, key, Reflect.get(own, key))
  }
}

module.exports = { shadowAccessors }
