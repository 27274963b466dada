'use strict'

// A deadline that is told when what came before it has been looked at.
//
// A process that stood still (SIGSTOP, a paused container, a long calculation) may find the deadline over and the answer in the
// kernel, and the event loop runs timers before it reads. Such a timer rings late. So much longer is waited then, up to a
// limit: the I/O thread and the event loop read in the meantime.

const { clearTimeout, now, setTimeout } = require('../runtime/captured.js')

/** A timer that rings less late than this is punctual. */
const PUNCTUAL_MS = 5
const MOST_GRACE_MS = 500

class Deadline {
  #dueAt
  #tell
  #isRefed = true
  /** @type {NodeJS.Timeout} */
  #timer

  /**
   * @param {number} ms as much as a timer can count, at most
   * @param {() => void} tell
   */
  constructor(ms, tell) {
    this.#tell = tell
    this.#dueAt = now() + ms
    this.#timer = setTimeout(ring, ms, this)
  }

  /** It keeps no process alive. */
  unref() {
    this.#isRefed = false
    this.#timer.unref()
    return this
  }

  /** It is not told any more. */
  end() {
    clearTimeout(this.#timer)
  }

  /** @param {Deadline} deadline */
  static ring(deadline) {
    const late = now() - deadline.#dueAt
    if (late < PUNCTUAL_MS) return deadline.#tell()
    deadline.#timer = setTimeout(deadline.#tell, Math.min(late, MOST_GRACE_MS))
    if (!deadline.#isRefed) deadline.#timer.unref()
  }
}

const { ring } = Deadline

module.exports = { Deadline }
