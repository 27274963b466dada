'use strict'

module.exports = {
  /** Where a fast request or response keeps its exchange. */
  kFast: Symbol('keepwire.fast'),
}
