'use strict'

// Prints the stack of an error that the package in a folder throws.

const { Agent } = require(process.argv[2])

try {
  void new Agent({ maxPending: 'many' })
} catch (error) {
  console.log(error.stack)
}
