'use strict'

// Who is behind the numbers that travel between this thread and the engine: exchanges, by number.
//
// A number is a slot (the low bits) and how often the slot was taken. No number is given twice: a slot that was taken as
// often as can be counted is not taken again. So what is late about an exchange, in either direction, finds nobody,
// however many exchanges begin and end before it arrives.

/** Together they are what a double counts exactly. */
const SLOT_BITS = 24
const GENERATION_BITS = 29

/** What take() answers when there is no number left. */
const NONE = 0

/** @template T an object that keeps its number in `id` */
class Numbers {
  #slotMask
  #slots
  #last
  /** Slot 0 stays unused, so that no number is 0. @type {(T | undefined)[]} */
  #values = [undefined]
  #generations = [0]
  /** @type {number[]} */
  #free = []

  /**
   * @param {number} [slotBits] 2^slotBits − 1 may be taken at a time
   * @param {number} [generationBits]
   */
  constructor(slotBits = SLOT_BITS, generationBits = GENERATION_BITS) {
    this.#slots = 2 ** slotBits
    this.#slotMask = this.#slots - 1
    this.#last = 2 ** generationBits - 1
  }

  /**
   * @param {T} value
   * @returns {number} its number; NONE: there is none left
   */
  take(value) {
    const slot = this.#free.pop() ?? this.#values.length
    if (slot === this.#slots) return NONE
    const generation = (this.#generations[slot] ?? 0) + 1
    this.#generations[slot] = generation
    this.#values[slot] = value
    return generation * this.#slots + slot
  }

  /**
   * @param {number} number
   * @returns {T | undefined}
   */
  get(number) {
    const value = this.#values[number & this.#slotMask]
    return value !== undefined && /** @type {any} */ (value).id === number ? value : undefined
  }

  /**
   * @param {number} number of a value that has it still
   * @param {T} value what has it from now on
   */
  replace(number, value) {
    this.#values[number & this.#slotMask] = value
  }

  /** @param {number} number of a value that has it still */
  release(number) {
    const slot = number & this.#slotMask
    this.#values[slot] = undefined
    if (this.#generations[slot] < this.#last) this.#free.push(slot)
  }
}

module.exports = { NONE, Numbers }
