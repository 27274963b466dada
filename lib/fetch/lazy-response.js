'use strict'

// An instance of the runtime's own Response that answers by itself until something needs what the constructor makes (`body`,
// `formData()`, …).

const { inspect } = require('node:util')

const { takeBlob, takeBuffer, takeBytes, takeJson, takeText, usedResponse } = require('./fetched.js')
const { runtimeResponse } = require('./response-class.js')

/** @typedef {import('./fetched.js').Fetched} Fetched */

class LazyResponse {
  /** @type {Fetched} */
  #of
  /** The runtime's own, once something needs it: the body is its from then on. @type {Response | null} */
  #real

  /**
   * @param {Fetched} of
   * @param {Response | null} real
   */
  constructor(of, real) {
    this.#of = of
    this.#real = real
  }

  #made() {
    if (this.#real !== null) return this.#real
    const of = this.#of
    const body = of.body()
    this.#real = new (runtimeResponse())(body, of.init({ 'content-type': of.headers.get('content-type') ?? '' }))
    return this.#real
  }

  /** @template T @param {(of: Fetched) => Promise<T>} take @param {(response: any) => Promise<T>} read @returns {Promise<T>} */
  #read(take, read) {
    const of = this.#of
    if (this.#real !== null) {
      const { signal } = of.request
      // What had come by then is not to be read any more.
      if (signal?.aborted && !this.#real.bodyUsed && !of.isNull) return Promise.reject(signal.reason)
      of.limit()
      return read(this.#real)
    }
    return of.used ? read(usedResponse()) : take(of)
  }

  get status() {
    return this.#of.status
  }

  get ok() {
    return this.#of.status >= 200 && this.#of.status <= 299
  }

  get statusText() {
    return this.#of.head.reason ?? ''
  }

  get headers() {
    return this.#of.headers
  }

  get url() {
    return this.#of.url
  }

  get redirected() {
    return this.#of.redirected
  }

  get type() {
    return /** @type {any} */ (this.#of.type)
  }

  get body() {
    if (this.#of.isNull) return null
    if (this.#of.used) {
      // Read without a stream: what is shown is one that was read to its end.
      if (this.#real === null) this.#real = usedResponse()
    }
    return this.#made().body
  }

  get bodyUsed() {
    return this.#real === null ? this.#of.used : this.#real.bodyUsed
  }

  text() {
    return this.#read(takeText, (response) => response.text())
  }

  json() {
    return this.#read(takeJson, (response) => response.json())
  }

  arrayBuffer() {
    return this.#read(takeBuffer, (response) => response.arrayBuffer())
  }

  bytes() {
    return this.#read(takeBytes, (response) => response.bytes())
  }

  blob() {
    const of = this.#of
    if (of.used) return usedResponse().blob()
    if (of.handle !== null && this.#real === null) return takeBlob(of)
    of.limit()
    return this.#made().blob()
  }

  formData() {
    if (this.#of.used) return usedResponse().formData()
    this.#of.limit()
    return this.#made().formData()
  }

  clone() {
    const of = this.#of
    if (of.used) return usedResponse().clone()
    if (this.#real === null && of.handle === null) return makeLazy(of.copy(), null)
    return makeLazy(of, this.#made().clone())
  }
}

/**
 * What console.log shows where the runtime's own has nothing to say.
 * @this {Response}
 * @param {number} _depth
 * @param {import('node:util').InspectOptions} options
 */
function inspectResponse(_depth, options) {
  const { status, statusText, headers, bodyUsed, ok, redirected, type, url } = this
  const shown = { status, statusText, headers: [...headers], bodyUsed, ok, redirected, type, url }
  return `Response ${inspect(shown, options)}`
}

let isDerived = false

/** Makes LazyResponse a subclass, in all but its constructor, of a class that is known only now. */
function derive() {
  isDerived = true
  const { prototype } = runtimeResponse()
  Object.setPrototypeOf(LazyResponse.prototype, prototype)
  if (!(inspect.custom in prototype)) {
    Object.defineProperty(LazyResponse.prototype, inspect.custom, { value: inspectResponse })
  }
  Reflect.deleteProperty(LazyResponse.prototype, 'constructor')
  if (!('bytes' in prototype)) Reflect.deleteProperty(LazyResponse.prototype, 'bytes')
}

/**
 * @param {Fetched} of
 * @param {Response | null} real
 */
function makeLazy(of, real) {
  if (!isDerived) derive()
  return new LazyResponse(of, real)
}

module.exports = { makeLazy }
