'use strict'

// What a fetch resolves with: an instance of the runtime's own Response.
//
// Node's constructor costs more than all the rest of a small fetch, so there it is called only when something needs what
// it makes; until then the response answers by itself. Bun and Deno have functions outside JavaScript that take responses
// (their servers), and cheap constructors: there it is constructed at once.

const { Fetched } = require('./fetched.js')
const { makeLazy } = require('./lazy-response.js')
const { isNode } = require('./platform.js')

/** @typedef {import('../bridge/response-heads.js').Head} Head */
/** @typedef {import('./body-handle.js').BodyHandle} BodyHandle */

const EagerResponse = isNode ? null : require('./eager-response.js').EagerResponse

/**
 * @param {import('./request.js').FetchRequest} request
 * @param {number} status
 * @param {Head} head
 * @param {Buffer | null} bytes
 * @param {BodyHandle | null} handle
 * @returns {Response}
 */
function makeResponse(request, status, head, bytes, handle) {
  const of = new Fetched(request, status, head, bytes, handle)
  return /** @type {any} */ (EagerResponse === null ? makeLazy(of, null) : new EagerResponse(of, of.body()))
}

/**
 * Whether nobody may see the response: in mode `no-cors`, that of another origin (fetch.spec.whatwg.org, "opaque filtered
 * response").
 * @param {import('./request.js').FetchRequest} request
 */
function isOpaque(request) {
  return request.isTainted && request.mode === 'no-cors'
}

/** @type {Head} */
const NO_HEAD = /** @type {any} */ ({ lines: [], reason: '' })

/** What is shown in place of such a response. */
class Opaque extends Fetched {
  /** @param {import('./request.js').FetchRequest} request */
  constructor(request) {
    super(request, 0, NO_HEAD, null, null)
  }

  get isNull() {
    return true
  }

  get url() {
    return ''
  }

  get redirected() {
    return false
  }

  get type() {
    return 'opaque'
  }

  copy() {
    return new Opaque(this.request)
  }
}

/**
 * @param {import('./request.js').FetchRequest} request
 * @returns {Response}
 */
function makeOpaque(request) {
  return /** @type {any} */ (makeLazy(new Opaque(request), null))
}

module.exports = { isOpaque, makeOpaque, makeResponse }
