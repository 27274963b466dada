'use strict'

// What is made when somebody needs it first. In a package, whose modules are in memory when it is loaded (scripts/bundle.js), these are
// modules that most programs never need, or not at once; a checkout makes all of them when it is loaded, since it would have to read files.

/** @type {(() => unknown)[]} */
const all = []

/**
 * @template T
 * @param {() => T} make
 * @returns {() => T}
 */
function lazy(make) {
  /** @type {T} */
  let made
  let isMade = false
  const get = () => {
    if (!isMade) {
      made = make()
      isMade = true
    }
    return made
  }
  all.push(get)
  return get
}

/** Makes all there are, and those that these bring. */
function makeAll() {
  for (const get of all) get()
}

module.exports = { lazy, makeAll }
