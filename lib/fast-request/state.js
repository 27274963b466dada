'use strict'

// How far a fast exchange has come.

module.exports = Object.freeze({
  /** The request exists. */
  MADE: 0,
  /** It is in the queue. */
  WAITING: 1,
  /** It is with the engine. */
  SENT: 2,
  /** The response's head is here. */
  ANSWERED: 3,
  /** The connection is given back, and 'end' told. */
  ENDED: 4,
  /** 'close' is told. */
  CLOSED: 5,
})
