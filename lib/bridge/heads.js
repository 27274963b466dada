'use strict'

// Response heads as the engine tells them: in full, or by the number under which one that repeats was kept
// (src/bridge/interning.rs decides).
//
// What is kept is shared by every response that has it, so users get copies of it: they may change what they get.

/** Bits of a RESPONSE's `aux` below the head's number. */
const SLOT_SHIFT = 10
const STATUS_MASK = (1 << SLOT_SHIFT) - 1

class Head {
  /** @type {number | undefined} */
  #announcedMs
  #isShared

  /**
   * @param {string} text fields and the reason phrase, joined by NUL
   * @param {boolean} isShared
   */
  constructor(text, isShared) {
    this.size = text.length
    this.lines = text.split('\0')
    /** The reason phrase. */
    this.reason = this.lines.pop()
    this.#isShared = isShared
  }

  /** Names and values in turn, the caller's own. */
  rawHeaders() {
    return this.#isShared ? this.lines.slice() : this.lines
  }

  /** How long the server says that it keeps an idle connection; -1: it does not say, 0: it keeps none. */
  announcedMs() {
    this.#announcedMs ??= announcedMs(this.lines)
    return this.#announcedMs
  }
}

/**
 * Reads Keep-Alive, its parameters in any order.
 * @param {string[]} lines
 */
function announcedMs(lines) {
  let announced = -1
  for (let at = 0; at < lines.length; at += 2) {
    if (lines[at].length !== 10 || lines[at].toLowerCase() !== 'keep-alive') continue
    const value = lines[at + 1]
    if (/(?:^|[\s,;])max\s*=\s*"?0+(?!\d)/i.test(value)) return 0
    const timeout = /(?:^|[\s,;])timeout\s*=\s*"?(\d+)/i.exec(value)
    if (timeout !== null) announced = Number(timeout[1]) * 1000
  }
  return announced
}

module.exports = { Head, SLOT_SHIFT, STATUS_MASK }
