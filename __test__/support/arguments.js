'use strict'

// The command line of the long runs: numbers in their order, and `http`, `https` or what else a run knows to run over one scheme only.

const { schemes } = require('./schemes')

/**
 * @param {string[]} [args]
 * @param {Record<string, any>} [more] schemes beside http and https
 * @returns {{ numbers: number[], chosen: import('./schemes').Scheme[] }}
 */
function readArguments(args = process.argv.slice(2), more = {}) {
  const known = { ...schemes, ...more }
  const named = args.filter((argument) => Object.hasOwn(known, argument))
  const numbers = args.filter((argument) => !named.includes(argument)).map(Number)
  if (numbers.some((number) => !(number >= 0)))
    throw new Error(`not a number, ${Object.keys(known).join(' or ')}: ${args.join(' ')}`)
  return { numbers, chosen: (named.length > 0 ? named : Object.keys(known)).map((name) => known[name]) }
}

module.exports = { readArguments }
