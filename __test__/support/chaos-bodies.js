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

module.exports = { bodyOf, junk, POISON }
