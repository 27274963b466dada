'use strict'

// The command line of the long runs: numbers in their order, and `http` or `https` to run over one scheme only.

const { schemes } = require('./schemes')

/** @returns {{ numbers: number[], chosen: import('./schemes').Scheme[] }} */
function readArguments(args = process.argv.slice(2)) {
  const named = args.filter((argument) => Object.hasOwn(schemes, argument))
  const numbers = args.filter((argument) => !named.includes(argument)).map(Number)
  if (numbers.some((number) => !(number >= 0))) throw new Error(`not a number, "http" or "https": ${args.join(' ')}`)
  return { numbers, chosen: (named.length > 0 ? named : Object.keys(schemes)).map((name) => schemes[name]) }
}

module.exports = { readArguments }
