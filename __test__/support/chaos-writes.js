'use strict'

// What callbacks of a request's writes are told in chaos, whatever became of it: each at most once, in the order of the
// writes, and of no success after a failure.

const MOST_PIECES = 4

class Writes {
  #wrong
  #pieces
  #told = 0
  #failed = false

  /**
   * @param {string} body
   * @param {number} dice below 1: how many writes it takes
   * @param {(what: string) => void} wrong
   */
  constructor(body, dice, wrong) {
    this.#wrong = wrong
    const count = Math.min(1 + Math.floor(dice * MOST_PIECES), Math.max(1, body.length))
    const size = Math.ceil(body.length / count)
    this.#pieces = Array.from({ length: count }, (_, at) => body.slice(at * size, (at + 1) * size))
  }

  /** @param {import('node:http').ClientRequest} request */
  send(request) {
    const last = this.#pieces.length - 1
    this.#pieces.forEach((piece, at) => {
      const tell = (error) => this.#tell(at, error)
      if (at < last) request.write(piece, tell)
      else request.end(piece, tell)
    })
  }

  #tell(at, error) {
    const what = `the callback of write ${at + 1} of ${this.#pieces.length}`
    if (at < this.#told) return this.#wrong(`${what} is called late or twice`)
    if (this.#failed && !error) return this.#wrong(`${what} is told of success after a failure`)
    this.#told = at + 1
    this.#failed = Boolean(error)
  }

  /** Whether all are told that their bytes are sent. */
  get areSent() {
    return this.#told === this.#pieces.length && !this.#failed
  }
}

module.exports = { Writes }
