'use strict'

// What agents of both kinds have, each in its way.

/** What a connection is opened for when there is no request yet. */
const NO_REQUEST = Object.freeze({ method: 'GET', _header: null, getHeader: () => undefined })

/** How an agent finds its origin for a request. */
const kFind = Symbol('keepwire.find')
/** How an agent tells that only the runtime can carry a request. */
const kReason = Symbol('keepwire.reason')

module.exports = { kFind, kReason, NO_REQUEST }
