'use strict'

// What servers say of when to come again (RFC 9110, section 10.2.3).

const { dateNow } = require('../runtime/captured.js')

/** `Sun, 06 Nov 1994 08:49:37 GMT` and the two older forms (RFC 9110, section 5.6.7), of which Date takes more than these. */
const HTTP_DATE =
  /^[A-Z][a-z]{2,8}, \d\d(?: [A-Z][a-z]{2} \d{4}|-[A-Z][a-z]{2}-\d\d) \d\d:\d\d:\d\d GMT$|^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/

/**
 * @param {string[]} lines names and values of a response's fields, in turn
 * @returns {number} in how many ms to come again; 0: it does not say, or now
 */
function retryAfterOf(lines) {
  return Math.max(0, askedPause(fieldOf(lines, 'retry-after'), fieldOf(lines, 'date')))
}

/**
 * @param {string | null | undefined} retryAfter
 * @param {string | null | undefined} date of the response
 * @returns {number} in how many ms to come again; -1: it does not say
 */
function askedPause(retryAfter, date) {
  const value = retryAfter?.trim() ?? ''
  if (/^\d+$/.test(value)) return Number(value) * 1000
  const until = dateOf(value)
  if (Number.isNaN(until)) return -1
  // By the server's own clock, if it tells: ours may be wrong.
  const told = dateOf(date?.trim() ?? '')
  return Math.max(0, until - (Number.isNaN(told) ? dateNow() : told))
}

/**
 * @param {string[]} lines
 * @param {string} name in lower case
 */
function fieldOf(lines, name) {
  for (let at = 0; at < lines.length; at += 2) {
    if (lines[at].length === name.length && lines[at].toLowerCase() === name) return lines[at + 1]
  }
  return undefined
}

/** @param {string} text */
function dateOf(text) {
  if (!HTTP_DATE.test(text)) return Number.NaN
  // asctime() has no zone, and means UTC.
  return Date.parse(/ GMT$/.test(text) ? text : `${text} GMT`)
}

module.exports = { askedPause, retryAfterOf }
