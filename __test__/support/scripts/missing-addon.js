'use strict'

// Requires a copy of the package whose addon is not there.

try {
  require(process.argv[2])
  console.log(JSON.stringify({ loaded: true }))
} catch (error) {
  console.log(JSON.stringify({ code: error.code, name: error.name, message: error.message }))
}
