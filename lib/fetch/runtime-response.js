'use strict'

// What the runtime's own responses are made to show.

const { tooLarge } = require('./errors.js')
const { findResponse } = require('./response-class.js')

/** @typedef {import('./fetched.js').Fetched} Fetched */

/**
 * A response of the runtime's that shows where it came from.
 * @param {Response} response
 * @param {Fetched} of
 */
function shownAs(response, of) {
  const clone = response.clone.bind(response)
  return Object.defineProperties(response, {
    status: { value: of.status },
    url: { value: of.url },
    redirected: { value: of.redirected },
    type: { value: of.type },
    clone: { value: () => shownAs(clone(), of) },
  })
}

/**
 * A response of the runtime's own fetch, of which nobody takes more than so many bytes.
 * @param {Response} response
 * @param {number} most
 * @returns {Promise<Response>}
 */
async function limited(response, most) {
  const { body, redirected, status, type, url } = response
  if (body === null) return response
  let received = 0
  const counter = new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength
      if (received > most) controller.error(tooLarge(most, most))
      else controller.enqueue(chunk)
    },
  })
  const RuntimeResponse = await findResponse()
  const copy = new RuntimeResponse(body.pipeThrough(counter), response)
  return shownAs(copy, /** @type {any} */ ({ status, url, redirected, type }))
}

module.exports = { limited, shownAs }
