'use strict'

// Values in the order in which they came, each of which may leave at any time.
//
// Not a Set: V8 gives one that values come to and leave a new table now and then, and each old table refers to the next one. Once one of
// them is in the old generation, none of those behind it is freed before the next major collection, nor is what has ever been in them: requests
// with their responses. Here nothing that has left refers to anything.

/**
 * Where a value is.
 * @template T
 */
class Place {
  /** @type {T | undefined} */
  value
  /** @type {Place<T> | undefined} */
  before
  /** @type {Place<T> | undefined} */
  after

  /** @param {T} [value] */
  constructor(value) {
    this.value = value
  }
}

/** @template T */
class Line {
  size = 0
  /** Behind the last, before the first. */
  #end = /** @type {Place<T>} */ (new Place())

  constructor() {
    this.#end.before = this.#end
    this.#end.after = this.#end
  }

  /**
   * @param {T} value
   * @returns {Place<T>} by which it leaves
   */
  add(value) {
    const place = new Place(value)
    const last = /** @type {Place<T>} */ (this.#end.before)
    place.before = last
    place.after = this.#end
    last.after = place
    this.#end.before = place
    this.size += 1
    return place
  }

  /**
   * @param {Place<T> | undefined} place
   * @returns {boolean} whether it was there
   */
  remove(place) {
    if (place === undefined) return false
    const { before, after } = place
    if (before === undefined || after === undefined) return false
    before.after = after
    after.before = before
    place.value = undefined
    place.before = undefined
    place.after = undefined
    this.size -= 1
    return true
  }

  get first() {
    return this.#end.after?.value
  }

  /** While nobody comes or leaves. */
  *[Symbol.iterator]() {
    for (let place = this.#end.after; place !== this.#end && place !== undefined; place = place.after) {
      yield/** @type {T} */ (place.value)
    }
  }
}

module.exports = { Line, Place }
