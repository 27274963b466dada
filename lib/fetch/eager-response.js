'use strict'

// The runtime's own Response, constructed at once, which shows where it came from.

const {
  immutable,
  makeHeaders,
  takeBlob,
  takeBuffer,
  takeBytes,
  takeJson,
  takeText,
  usedResponse,
} = require('./fetched.js')
const { immutableMessage, isDeno } = require('./platform.js')
const { runtimeResponse } = require('./response-class.js')
const { shownAs } = require('./runtime-response.js')

/** @typedef {import('./fetched.js').Fetched} Fetched */

const RuntimeResponse = runtimeResponse()

class EagerResponse extends RuntimeResponse {
  /** @type {Fetched} */
  #of
  #touched = false

  /**
   * @param {Fetched} of
   * @param {any} body
   */
  constructor(of, body) {
    super(body, of.init(makeHeaders(of.head)))
    this.#of = of
    if (immutableMessage !== null) immutable(super.headers)
  }

  get status() {
    return this.#of.status
  }

  get ok() {
    return this.#of.status >= 200 && this.#of.status <= 299
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
    this.#touched = true
    return super.body
  }

  get bodyUsed() {
    return this.#of.used || super.bodyUsed
  }

  /**
   * @template T
   * @param {(of: Fetched) => Promise<T>} take
   * @param {() => Promise<T>} read
   * @returns {Promise<T>}
   */
  #read(take, read) {
    const of = this.#of
    if (of.used) return /** @type {any} */ (usedResponse().text())
    if (of.request.signal?.aborted && !super.bodyUsed && !of.isNull) return Promise.reject(of.request.signal.reason)
    // A body that is still coming needs no stream of the runtime's to be read at once.
    if ((of.handle !== null || isDeno) && !this.#touched && !super.bodyUsed) return take(of)
    of.limit()
    return read()
  }

  text() {
    return this.#read(takeText, () => super.text())
  }

  json() {
    return this.#read(takeJson, () => super.json())
  }

  arrayBuffer() {
    return this.#read(takeBuffer, () => super.arrayBuffer())
  }

  bytes() {
    return this.#read(takeBytes, () => /** @type {any} */ (super.bytes()))
  }

  blob() {
    const of = this.#of
    if (of.used) return usedResponse().blob()
    if (of.handle !== null && !this.#touched && !super.bodyUsed) return takeBlob(of)
    of.limit()
    this.#touched = true
    return super.blob()
  }

  formData() {
    if (this.#of.used) return usedResponse().formData()
    this.#of.limit()
    this.#touched = true
    return super.formData()
  }

  clone() {
    if (this.#of.used) return usedResponse().clone()
    this.#touched = true
    const copy = super.clone()
    Object.setPrototypeOf(copy, RuntimeResponse.prototype)
    return /** @type {any} */ (shownAs(copy, this.#of))
  }
}

Reflect.deleteProperty(EagerResponse.prototype, 'constructor')

module.exports = { EagerResponse }
