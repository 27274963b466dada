'use strict'

// What both sides of the chaos know: the body that belongs to a request, and bytes that belong to none.

/** The body of request `id`, `length` characters that no other request's body has. */
function bodyOf(id, length) {
  const unit = `<${id}>`
  return unit.repeat(Math.ceil(length / unit.length)).slice(0, length)
}

const POISON = 'POISON'

/** What a server sends behind a response although nobody asked. */
function junk(number) {
  const choices = [
    `HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`,
    POISON,
    '\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
  ]
  return choices[number % choices.length]
}

/** What is no record of a session, or not one of this session. */
function junkRecord(number) {
  const noise = Buffer.from(Array.from({ length: 64 }, (_, i) => (number * 31 + i * 17) & 0xff))
  const choices = [
    // Data under keys that nobody has.
    Buffer.concat([Buffer.from([23, 3, 3, 0, noise.length]), noise]),
    // A fatal alert in the clear.
    Buffer.from([21, 3, 3, 0, 2, 2, 40]),
    // Longer than a record may be.
    Buffer.concat([Buffer.from([23, 3, 3, 0xff, 0xff]), noise]),
    // No record at all, but a response.
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`),
    noise,
  ]
  return choices[number % choices.length]
}

/** Where a redirect leads that no fetch can follow. @param {string} origin of the server */
function poisonedLocation(number, origin) {
  const choices = [
    'https://xn--a-/',
    '/length/60/1\x01',
    '/length/60/1\x7f',
    `${origin.replace('127.0.0.1', 'exa\x01mple')}/`,
    '//',
    'http://[::1',
    'data:,POISON',
    // No port that a fetch goes to.
    `${origin.replace(/:\d+$/, ':1')}/`,
    // The same again, until it was enough.
    '',
  ]
  return choices[number % choices.length]
}

/** A fatal alert in the clear: handshake_failure, protocol_version, internal_error. */
const plainAlert = (number) => Buffer.from([21, 3, 3, 0, 2, 2, [40, 70, 80][number % 3]])

module.exports = { bodyOf, junk, junkRecord, plainAlert, POISON, poisonedLocation }
