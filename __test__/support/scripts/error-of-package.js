'use strict'

// Prints the stacks of errors that the package in a folder throws: of a module that is loaded with it, and of one that is not.

const { Agent, fetch } = require(process.argv[2])

for (const fail of [() => new Agent({ maxPending: 'many' }), () => fetch.withDefaults({ baseUrl: 1 })]) {
  try {
    void fail()
  } catch (error) {
    console.log(error.stack)
  }
}
