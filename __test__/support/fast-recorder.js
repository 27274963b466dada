'use strict'

// As recorder.js, but it looks at no more than what users of small requests look at, so that these stay as fast as they
// are; and once, at a chosen event, at everything.

const { Recorder, REQUEST_FIELDS, RESPONSE_FIELDS, describe, fullHead, tell } = require('./recorder')

const REQUEST_EVENTS = ['abort', 'close', 'continue', 'error', 'information', 'timeout']
const RESPONSE_EVENTS = ['aborted', 'close', 'end', 'error', 'timeout']
const SOME_REQUEST_FIELDS = ['aborted', 'destroyed', 'finished', 'headersSent', 'reusedSocket', 'writableEnded']
const SOME_RESPONSE_FIELDS = ['aborted', 'complete']

/** Whether a request or response is still without the runtime's state. */
const isFast = (object) => !Object.hasOwn(object, '_header') && !Object.hasOwn(object, '_readableState')

class FastRecorder extends Recorder {
  #look

  /** @param {string} [look] the event at which everything is looked at: 'sent', 'response', 'data', 'end', 'close' */
  constructor(look = '') {
    super()
    this.#look = look
  }

  request(request) {
    this.sent = request
    for (const event of REQUEST_EVENTS) {
      request.on(event, (...args) => {
        this.log.push(`req ${event} ${tell(event, args)}${describe(request, SOME_REQUEST_FIELDS)}`)
        if (event === this.#look) this.#lookAt(request)
      })
    }
    if (this.#look === 'sent') afterTicks(6, () => this.#lookAt(request))
  }

  response(response, request) {
    this.answer = response
    const { statusCode, statusMessage, httpVersion, rawHeaders, headers, url, method, upgrade } = response
    const head = [statusCode, statusMessage, httpVersion, rawHeaders, headers, url, method, upgrade]
    this.log.push(`req response ${JSON.stringify(head)} ${describe(request, SOME_REQUEST_FIELDS)}`)
    if (this.#look === 'response') this.#lookAt(request)
    for (const event of RESPONSE_EVENTS) {
      response.on(event, (...args) => {
        this.log.push(`res ${event} ${tell(event, args)}${describe(response, SOME_RESPONSE_FIELDS)}`)
        if (event === this.#look && event !== 'close') this.#lookAt(request)
      })
    }
  }

  data(chunk) {
    super.data(chunk)
    if (this.#look === 'data') this.#lookAt(this.sent)
  }

  /** Everything, once. */
  #lookAt(request) {
    this.#look = ''
    const sent = `${JSON.stringify(request.getHeaders())} ${request._header}`.replace(/127\.0\.0\.1:\d+/g, 'HOST')
    this.log.push(`look ${describe(request, REQUEST_FIELDS)} ${sent}`)
    const response = this.answer
    if (response === undefined) return
    this.log.push(`look ${fullHead(response)} ${describe(response, RESPONSE_FIELDS)} ${response.req === request}`)
  }
}

/** When everything that was put off to later ticks is done, and nothing has come from the network yet. */
function afterTicks(count, action) {
  if (count === 0) action()
  else process.nextTick(afterTicks, count - 1, action)
}

module.exports = { isFast, FastRecorder }
