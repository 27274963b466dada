'use strict'

// What a request of chaos comes to, as its user hears of it: its own body or an error, once, and nothing after its 'close'. It is
// given up when its plan says so.

const { POISON } = require('./chaos-bodies')

const SETTLE_DEADLINE_MS = 60_000

/**
 * @typedef {object} Plan
 * @property {string} sent
 * @property {string} expected
 * @property {number} abort when it is given up, in ms; below 0: not at some time
 * @property {string} [moment] the event at which it is given up
 * @property {{ errorBeforeEnd?: boolean }} kind
 */

/**
 * @param {import('node:http').ClientRequest} request
 * @param {Plan} plan
 * @param {string} name for whoever reads that it has settled wrongly
 * @param {() => boolean} [areSent] whether all of its writes are told as sent
 * @returns {{ settled: Promise<{ settled: string, error: any }>, wrong: (what: string) => void }} `settled` rejects if it settles
 *   wrongly, or somebody else says that something is `wrong`
 */
function hear(request, { sent, expected, abort, moment, kind }, name, areSent = () => true) {
  /** @type {(what: string) => void} */
  let wrong = () => {}
  const settled = new Promise((resolve, reject) => {
    let outcome = ''
    let error
    let closes = 0
    let aborted = false
    wrong = (what) => {
      clearTimeout(deadline)
      reject(new Error(`${name}: ${what}`))
    }
    const deadline = setTimeout(() => wrong('has not settled'), SETTLE_DEADLINE_MS)
    const destroy = () => {
      aborted = true
      request.destroy()
    }
    if (moment === 'finish' || moment === 'response') request.on(moment, destroy)
    request.on('response', (response) => {
      if (moment === 'data' || moment === 'end') response.on(moment, destroy)
      let received = 0
      response.setEncoding('latin1')
      response.on('data', (text) => {
        if (text.includes(POISON)) wrong('got what belongs to nobody')
        if (!expected.startsWith(text, received)) wrong(`got ${JSON.stringify(text.slice(0, 80))} at ${received}`)
        received += text.length
      })
      response.on('end', () => {
        if (outcome !== '' && !(kind.errorBeforeEnd && error.code.startsWith('HPE_')))
          return wrong(`'end' after ${outcome} ${error?.code} ${error?.message}`)
        outcome = 'end'
        // An aborted request's response is discarded, on some runtimes up to its 'end'.
        if (received !== expected.length && !aborted) wrong(`ended with ${received} of ${expected.length} bytes`)
        const got = response.headers['x-got']
        if (got !== undefined && Number(got) !== sent.length) wrong(`the server got ${got} of ${sent.length} bytes`)
      })
      response.on('error', (failure) => {
        // The connection's error, if it has one, is the request's as well.
        if (outcome === 'end') return wrong(`the response's 'error' (${failure.code}) after ${outcome}`)
        outcome = 'error'
        error = failure
      })
    })
    request.on('error', (failure) => {
      if (closes > 0) return wrong(`'error' (${failure.code}) after 'close'`)
      if (outcome === 'end') return wrong(`'error' (${failure.code}) after the end`)
      if (error === failure) return wrong("'error' twice")
      outcome = 'error'
      error = failure
    })
    request.on('close', () => {
      closes++
      if (closes > 1) return wrong("'close' twice")
      if (outcome === 'end' && !aborted && !areSent()) return wrong("'close' before all of it is told as sent")
      // What comes after 'close' would be told to nobody: look once more when everything queued has run.
      setImmediate(() => {
        clearTimeout(deadline)
        resolve({ settled: outcome, error })
      })
    })
    if (abort >= 0) {
      if (abort < 1) setImmediate(destroy)
      else setTimeout(destroy, abort)
    }
  })
  return { settled, wrong }
}

module.exports = { hear }
