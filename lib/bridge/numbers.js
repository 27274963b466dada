'use strict'

// Who is behind the numbers that travel between this thread and the engine: exchanges, by number.
//
// Numbers count up, and no number is given twice. So what is late about an exchange, in either direction, finds nobody,
// however many exchanges begin and end before it arrives. The low bits say where an exchange is kept; a number whose place is
// taken is left out. Small numbers are integers to the runtime's compilers, others are objects: two thousand million come first.

/** What take() answers when there is no number left. */
const NONE = 0

/** As many may be taken at a time. */
const MOST = 2 ** 24 - 1
/** Places at the beginning, a power of two. */
const FEWEST = 64
/** So many are given back when nothing is in them. */
const MANY = 2 ** 16

/** @template T */
class Numbers {
  #most
  #largest
  #latest = NONE
  #count = 0
  #mask = FEWEST - 1
  /** @type {(T | undefined)[]} */
  #values = new Array(FEWEST).fill(undefined)
  /** Those of the values, and of what was in their places before. @type {number[]} */
  #numbers = new Array(FEWEST).fill(NONE)

  /**
   * @param {number} [most] that may be taken at a time
   * @param {number} [largest] the last number
   */
  constructor(most = MOST, largest = Number.MAX_SAFE_INTEGER) {
    this.#most = most
    this.#largest = largest
  }

  /** How many are taken. */
  get count() {
    return this.#count
  }

  /**
   * @param {T} value
   * @returns {number} its number; NONE: there is none left
   */
  take(value) {
    if (this.#count === this.#most) return NONE
    // So few taken places are left out that it does not matter.
    if (this.#count * 2 >= this.#values.length) this.#grow()
    const values = this.#values
    const mask = this.#mask
    let number = this.#latest
    do {
      if (number === this.#largest) return NONE
      number += 1
    } while (values[number & mask] !== undefined)
    const place = number & mask
    values[place] = value
    this.#numbers[place] = number
    this.#latest = number
    this.#count += 1
    return number
  }

  /**
   * @param {number} number
   * @returns {T | undefined}
   */
  get(number) {
    const place = number & this.#mask
    return this.#numbers[place] === number ? this.#values[place] : undefined
  }

  /** @param {number} number of a value that has it still */
  release(number) {
    this.#values[number & this.#mask] = undefined
    this.#count -= 1
    if (this.#count === 0 && this.#values.length > MANY) this.#resize(FEWEST)
  }

  #grow() {
    const [values, numbers] = [this.#values, this.#numbers]
    this.#resize(values.length * 2)
    for (let at = 0; at < values.length; at += 1) {
      const value = values[at]
      if (value === undefined) continue
      const place = numbers[at] & this.#mask
      this.#values[place] = value
      this.#numbers[place] = numbers[at]
    }
  }

  /** @param {number} places */
  #resize(places) {
    this.#mask = places - 1
    this.#values = new Array(places).fill(undefined)
    this.#numbers = new Array(places).fill(NONE)
  }
}

module.exports = { NONE, Numbers }
