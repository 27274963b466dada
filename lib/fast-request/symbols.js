'use strict'

// Symbols that the files of the fast request share.

module.exports = {
  /** Where a fast request or response keeps its exchange. */
  kFast: Symbol('keepwire.fast'),
}
