'use strict'

// Response heads as the engine tells them: in full, or by the number under which one that repeats was kept
// (src/bridge/head_cache.rs decides).
//
// What is kept is shared by every response that has it, so users get copies of it: they may change what they get.

const { HTTP_1_0, ODD_VERSION } = require('./layout.js')

/** Bits of a RESPONSE's `aux` below the head's number. */
const SLOT_SHIFT = 10
const STATUS_MASK = (1 << SLOT_SHIFT) - 1

/** Bytes of a head beside its fields and reason: `HTTP/1.1 200 `, and the ends of the first and the last line. */
const FIRST_AND_LAST_LINE = 17

class Head {
  /** @type {Hint | undefined} */
  #hint
  #isShared

  /**
   * @param {string} text fields and the reason phrase, joined by NUL
   * @param {boolean} isShared
   */
  constructor(text, isShared) {
    this.lines = text.split('\0')
    /** The reason phrase. */
    this.reason = this.lines.pop()
    /** In bytes, as servers write it: `: ` and the end of the line where the text has a NUL. */
    this.size = text.length + this.lines.length + FIRST_AND_LAST_LINE
    this.#isShared = isShared
  }

  /** Names and values in turn, the caller's own. */
  rawHeaders() {
    return this.#isShared ? this.lines.slice() : this.lines
  }

  /** What the server says of the connection. */
  hint() {
    this.#hint ??= hintOf(this.lines)
    return this.#hint
  }
}

/**
 * @typedef {object} Hint
 * @property {number} timeoutMs how long it keeps it idle; -1: it does not say
 * @property {number} max how many more requests it takes; Infinity: it does not say
 * @property {boolean} binds whether it asks for authentication that is the connection's
 */

/** @type {Hint} */
const NO_HINT = Object.freeze({ timeoutMs: -1, max: Number.POSITIVE_INFINITY, binds: false })

const KEEP_ALIVE = 'keep-alive'
const CHALLENGES = new Set(['www-authenticate', 'proxy-authenticate'])
const LENGTHS = new Set([KEEP_ALIVE, ...CHALLENGES].map((name) => name.length))

/** Authentication that is the connection's, not the request's (RFC 4559): in credentials, and anywhere in a list of challenges. */
const BINDING = /(?:^|,)\s*(?:ntlm|negotiate)\b/i

/**
 * Whether credentials or challenges are of a kind by which the server knows the connection's user from then on.
 * @param {unknown} value
 */
function isBinding(value) {
  return value !== undefined && BINDING.test(String(value))
}

/**
 * Reads challenges and Keep-Alive, its parameters in any order.
 * @param {string[]} lines
 * @returns {Hint}
 */
function hintOf(lines) {
  let { timeoutMs, max, binds } = NO_HINT
  for (let at = 0; at < lines.length; at += 2) {
    if (!LENGTHS.has(lines[at].length)) continue
    const name = lines[at].toLowerCase()
    const value = lines[at + 1]
    if (CHALLENGES.has(name) && isBinding(value)) binds = true
    if (name !== KEEP_ALIVE) continue
    const most = /(?:^|[\s,;])max\s*=\s*"?(\d+)/i.exec(value)
    if (most !== null) max = Math.min(max, Number(most[1]))
    const timeout = /(?:^|[\s,;])timeout\s*=\s*"?(\d+)/i.exec(value)
    if (timeout !== null) timeoutMs = Number(timeout[1]) * 1000
  }
  return timeoutMs < 0 && max === NO_HINT.max && !binds ? NO_HINT : { timeoutMs, max, binds }
}

const OTHER_VERSION = HTTP_1_0 | ODD_VERSION

/**
 * `res.httpVersion`
 * @param {number} flags of a RESPONSE
 */
function httpVersion(flags) {
  if ((flags & OTHER_VERSION) === 0) return '1.1'
  if ((flags & ODD_VERSION) === 0) return '1.0'
  return (flags & HTTP_1_0) === 0 ? '2.0' : '0.9'
}

module.exports = { Head, hintOf, httpVersion, isBinding, SLOT_SHIFT, STATUS_MASK }
