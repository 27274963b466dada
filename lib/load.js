'use strict'

// A package has all modules in few files, which `npm pack` makes (scripts/bundle.js): finding and reading a hundred files takes
// longer than all that is in them. A checkout has none and loads the files, all of them at once.

/** @returns {typeof import('./rooms.js')} */
function load() {
  try {
    // @ts-ignore: a checkout has none.
    return require('./bundle.js')
  } catch (error) {
    // Bun's is no Error, and some runtimes spell the code ERR_MODULE_NOT_FOUND.
    const { code } = /** @type {{ code?: string }} */ (error)
    if (!code?.endsWith('MODULE_NOT_FOUND')) throw error
    const rooms = require('./rooms.js')
    require('./runtime/lazy.js').makeAll()
    return rooms
  }
}

module.exports = load()
