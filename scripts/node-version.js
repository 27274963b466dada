'use strict'

// Loaded before anything else, so that an old Node says so in one line instead of failing on newer syntax. That is why
// this file uses none.

var REQUIRED_MAJOR = 18

if (parseInt(process.versions.node, 10) < REQUIRED_MAJOR) {
  console.error(
    'keepwire needs Node ' +
      REQUIRED_MAJOR +
      ' or later, and this is Node ' +
      process.versions.node +
      ': install a newer one.'
  )
  process.exit(1)
}
