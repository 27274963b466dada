'use strict'

// Requests whose proxy is not known yet: a function has promised it. They have no socket, through which the runtime would
// deliver an abort, so they hear of it here.

const { nextTick } = require('../runtime/captured.js')
const { settleUnserved, shadow } = require('../exchange/queue.js')

/**
 * @template P
 * @param {any} req
 * @param {Promise<P>} promise
 * @param {(proxy: P) => void} take
 */
function awaitProxy(req, promise, take) {
  let isOver = false
  /** @param {any} error */
  const fail = (error) => {
    if (isOver) return
    isOver = true
    settleUnserved(req, error)
  }
  shadow(req, 'destroy', () => nextTick(fail, undefined))
  promise.then(
    (proxy) => {
      if (isOver) return
      isOver = true
      delete req.destroy
      try {
        if (req.destroyed) settleUnserved(req, undefined)
        else take(proxy)
      } catch (error) {
        settleUnserved(req, /** @type {Error} */ (error))
      }
    },
    (error) => {
      const reason = error instanceof Error ? error : Object.assign(new Error('No proxy was given'), { cause: error })
      nextTick(fail, reason)
    },
  )
}

module.exports = { awaitProxy }
