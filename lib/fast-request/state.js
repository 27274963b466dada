'use strict'

/** How far a fast exchange has come. */
module.exports = Object.freeze({
  /** The request exists. */
  MADE: 0,
  /** It is with the engine. */
  SENT: 1,
  /** The response's head is here. */
  ANSWERED: 2,
  /** The connection is given back, and 'end' told. */
  ENDED: 3,
  /** 'close' is told. */
  CLOSED: 4,
})
