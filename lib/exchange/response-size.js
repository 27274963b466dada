'use strict'

// `maxResponseSize`: how much of a response's body whoever sent the request is ready to take.
//
// Of a request it limits bytes as they come, whatever connection brings them: the engine's, the runtime's own sockets, or
// another agent's. A response that has more is destroyed with the error, and its connection with it; what came before is told.

const { coded, notANumber, outOfRange } = require('../common/errors.js')
const { ignoresAgents } = require('../runtime/probes.js')
const { EngineSocket } = require('../socket/socket.js')

const TOO_LARGE = 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE'

/** Requests whose response is watched. @type {WeakSet<object>} */
const limited = new WeakSet()

/**
 * @param {unknown} maxResponseSize
 * @returns {number} Infinity: any size; 0: nothing was said
 */
function mostOf(maxResponseSize) {
  if (maxResponseSize === undefined || maxResponseSize === null) return 0
  if (typeof maxResponseSize !== 'number') throw notANumber('maxResponseSize', maxResponseSize)
  if (!(maxResponseSize >= 0)) throw outOfRange('maxResponseSize', '>= 0', maxResponseSize)
  // As with other options, 0 is no limit.
  return maxResponseSize === 0 ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(maxResponseSize))
}

/**
 * Limits the response that a request gets. Its response is noticed where every runtime puts it: a listener would have the
 * runtime believe that somebody reads it.
 * @param {any} req
 * @param {number} most bytes, as `mostOf` says
 */
function limitResponse(req, most) {
  if (most === 0 || most === Number.POSITIVE_INFINITY || limited.has(req)) return
  limited.add(req)
  let { res } = req
  Object.defineProperty(req, 'res', {
    get: () => res,
    set: (value) => {
      if (value !== res && typeof value?.push === 'function') watch(value, most)
      res = value
    },
    enumerable: true,
    configurable: true,
  })
}

/**
 * @param {any} res
 * @param {number} most
 */
function watch(res, most) {
  let left = most
  const { push } = res
  Object.defineProperty(res, 'push', {
    /**
     * @this {any}
     * @param {Uint8Array | null} chunk
     * @param {BufferEncoding} [encoding]
     */
    value(chunk, encoding) {
      if (chunk) left -= chunk.length
      if (left >= 0) return push.call(this, chunk, encoding)
      // Its connection first: the error is the response's, and not the request's as well. Bun's own before 1.4 pretend to one.
      if (!ignoresAgents || this.socket instanceof EngineSocket) this.socket?.destroy()
      this.destroy(
        coded(
          TOO_LARGE,
          `The response's body has more than ${most} bytes, the option "maxResponseSize" of its request`,
        ),
      )
      return false
    },
    writable: true,
    configurable: true,
  })
}

module.exports = { limitResponse, mostOf, TOO_LARGE }
