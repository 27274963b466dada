'use strict'

// Requests whose proxy is not known yet: a function has promised it. They have no socket, through which the runtime would
// deliver an abort or a timeout, so they hear of them here.

const { clearTimeout, nextTick, setTimeout } = require('../runtime/captured.js')
const { settleUnserved, shadow } = require('../exchange/queue.js')

const MOST_TIMER_MS = 0x7fffffff

/**
 * @template P
 * @param {any} req
 * @param {unknown} timeout the agent's, for a request without one
 * @param {Promise<P>} promise
 * @param {(proxy: P) => void} take
 */
function awaitProxy(req, timeout, promise, take) {
  let isOver = false
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const expect = (/** @type {unknown} */ ms) => {
    clearTimeout(timer)
    if (isOver || typeof ms !== 'number' || !(ms > 0)) return
    timer = setTimeout(() => req.emit('timeout'), Math.min(ms, MOST_TIMER_MS))
    timer.unref()
  }
  const end = () => {
    isOver = true
    clearTimeout(timer)
  }
  /** @param {any} error */
  const fail = (error) => {
    if (isOver) return
    end()
    settleUnserved(req, error)
  }
  shadow(req, 'destroy', () => nextTick(fail, undefined))
  shadow(req, 'setTimeout', expect)
  expect(req.timeout === undefined ? timeout : req.timeout)
  promise.then(
    (proxy) => {
      if (isOver) return
      end()
      delete req.destroy
      delete req.setTimeout
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
