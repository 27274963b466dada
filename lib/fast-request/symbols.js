'use strict'

module.exports = {
  /** Where a lean request or response keeps its exchange. */
  kLean: Symbol('keepwire.lean'),
}
