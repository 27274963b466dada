'use strict'

// Options as texts that are equal where connections may be shared. A function is told by a number: agents that ask the same
// one share.

const { unjudged } = require('../common/addresses.js')
const { threadPort } = require('../bridge/port.js')

/** Functions that say what agents connect to, by number. @type {WeakMap<Function, string>} */
const judgeNumbers = new WeakMap()
let judges = 0

/**
 * An option's value as text can tell it: connections to what a function has said are for agents that ask the same one.
 * @param {unknown} value
 */
function told(value) {
  if (typeof value !== 'function') return value
  const judge = unjudged(value)
  const known = judgeNumbers.get(judge)
  if (known !== undefined) return known
  judges += 1
  // Connections are shared between threads, functions are not.
  const number = `${threadPort().id}.${judges}`
  judgeNumbers.set(judge, number)
  return number
}

module.exports = { told }
