'use strict'

// What becomes of requests before they are sent, as spans of OpenTelemetry: the wait for a connection, and the opening of one, in its
// steps. The span of the request itself is an instrumentation's; these are its children, or those of whatever span is active where the
// request is made.
//
// Made of what the diagnostics channels tell, so it costs nothing unless it was asked for.

const { notA } = require('../common/errors.js')
const { opens, queued, retries, starts, turns } = require('../common/diagnostics.js')
const { now } = require('../runtime/captured.js')
const { name, version } = require('../../package.json')
const { serverOf } = require('./conventions.js')
const { redacted, urlOf } = require('./redact.js')

// Numbers of enumerations of @opentelemetry/api.
const INTERNAL = 0
const ERROR = 2

/**
 * @typedef {any} Context of OpenTelemetry's
 * @typedef {{ context: Context, queuedAt: number, position: number, resent: number }} Known what is known of a request
 */

/** In which order a connection is opened, and what each step is called. */
const STEPS = /** @type {const} */ ([
  ['dnsMs', 'dns'],
  ['connectMs', 'connect'],
  ['proxyMs', 'proxy'],
  ['tlsMs', 'tls'],
])

/** In ms since 1970, with fractions. */
const epochNow = () => performance.timeOrigin + now()

/** @param {any} api */
function checkApi(api) {
  const isApi = typeof api?.trace?.getTracer === 'function' && typeof api.context?.active === 'function'
  if (!isApi) throw notA("@opentelemetry/api's exports", 'api', api)
}

class Recorder {
  #api
  #hasOrphans
  #tracer
  /** @type {WeakMap<object, Known>} */
  #requests = new WeakMap()

  /**
   * @param {any} api
   * @param {boolean} hasOrphans whether spans are recorded that have no parent
   */
  constructor(api, hasOrphans) {
    this.#api = api
    this.#hasOrphans = hasOrphans
    this.#tracer = api.trace.getTracer(name, version)
  }

  /** @param {any} message */
  onStart({ request }) {
    if (this.#requests.has(request)) return
    const context = this.#api.context.active()
    if (!this.#hasOrphans && this.#api.trace.getSpan(context) === undefined) return
    this.#requests.set(request, { context, queuedAt: 0, position: 0, resent: 0 })
  }

  /** @param {any} message */
  onQueue({ position, request }) {
    const known = this.#requests.get(request)
    if (known !== undefined) Object.assign(known, { queuedAt: epochNow(), position })
  }

  /** @param {any} message */
  onTurn({ isServed, place, request }) {
    const known = this.#requests.get(request)
    if (known === undefined || known.queuedAt === 0) return
    const attributes = { ...attributesOf(place, request), 'keepwire.queue.position': known.position }
    const span = this.#start('keepwire.request.wait', known.queuedAt, attributes, known.context)
    if (!isServed) span.setStatus({ code: ERROR, message: 'gave up before it had a connection' })
    span.end(epochNow())
    known.queuedAt = 0
  }

  /** @param {any} message */
  onRetry({ reason, request }) {
    const known = this.#requests.get(request)
    if (known === undefined) return
    known.resent += 1
    const span = this.#api.trace.getSpan(known.context)
    span?.addEvent('keepwire.request.resend', { 'keepwire.close.reason': reason })
    span?.setAttribute('http.request.resend_count', known.resent)
  }

  /** @param {any} message */
  onOpen(message) {
    const { connectionId, place, request } = message
    const known = request === null ? undefined : this.#requests.get(request)
    if (known === undefined) return
    const end = epochNow()
    const steps = STEPS.filter(([field]) => message[field] > 0)
    let at = end - steps.reduce((sum, [field]) => sum + message[field], 0)
    const attributes = { ...attributesOf(place, request), 'keepwire.connection.id': connectionId }
    if (known.resent > 0) attributes['http.request.resend_count'] = known.resent
    const setup = this.#start('keepwire.connection.setup', at, attributes, known.context)
    const within = this.#api.trace.setSpan(known.context, setup)
    for (const [field, step] of steps) {
      const span = this.#start(`keepwire.connection.${step}`, at, serverOf(place), within)
      at += message[field]
      span.end(at)
    }
    setup.end(end)
  }

  /**
   * @param {string} name
   * @param {number} startTime
   * @param {import('./conventions.js').Attributes} attributes
   * @param {Context} context its parent's
   */
  #start(name, startTime, attributes, context) {
    return this.#tracer.startSpan(name, { kind: INTERNAL, startTime, attributes }, context)
  }
}

/**
 * @param {string} place
 * @param {any} request
 * @returns {import('./conventions.js').Attributes}
 */
function attributesOf(place, request) {
  const url = urlOf(request)
  const method = { 'http.request.method': request.method }
  return { ...serverOf(place), ...method, ...(url === undefined ? undefined : { 'url.full': redacted(url) }) }
}

/**
 * Records spans from now on. Returns what ends that.
 * @param {any} api the exports of @opentelemetry/api, of which this package loads nothing itself
 * @param {{ orphans?: boolean }} [options] `orphans`: whether requests that are made while no span is active have them, too
 * @returns {() => void}
 */
function recordSpans(api, { orphans = false } = {}) {
  checkApi(api)
  if (typeof orphans !== 'boolean') throw notA('boolean', 'orphans', orphans)
  const recorder = new Recorder(api, orphans)
  /** @type {[import('node:diagnostics_channel').Channel, (message: any) => void][]} */
  const listeners = [
    [starts, (message) => recorder.onStart(message)],
    [queued, (message) => recorder.onQueue(message)],
    [turns, (message) => recorder.onTurn(message)],
    [retries, (message) => recorder.onRetry(message)],
    [opens, (message) => recorder.onOpen(message)],
  ]
  for (const [channel, listener] of listeners) channel.subscribe(listener)
  return () => {
    for (const [channel, listener] of listeners) channel.unsubscribe(listener)
  }
}

module.exports = { recordSpans }
