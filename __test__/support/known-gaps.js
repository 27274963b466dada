'use strict'

// What keepwire does not do yet as the runtime does: skipped by name, so that the rest stays green and this list is all
// there is. An entry goes when its test passes; nothing else belongs here.

const { runtimeName } = require('./runtime')

/** @type {Record<string, Set<string>>} */
const gaps = {
  node: new Set(),
  bun: new Set([]),
  deno: new Set([
    "a server that sends 101 that nobody asked for: the runtime's own outcome, for that request alone",
    "a bad server on a reused connection: the runtime's own outcome for a POST",
    'AsyncLocalStorage: errors, timeouts and aborts see the store of their caller',
    'diagnostics channels: the messages are those of the runtime, in the same order',
    "the events are the runtime's own: head and body in separate packets",
    "the events are the runtime's own: Connection: close from the server",
    "the events are the runtime's own: HTTP/1.0 without keep-alive",
    "the events are the runtime's own: setEncoding",
  ]),
}

/** @param {string} sentence a test's name */
function knownGap(sentence) {
  return gaps[runtimeName].has(sentence) && `a known gap on ${runtimeName}`
}

module.exports = { knownGap }
