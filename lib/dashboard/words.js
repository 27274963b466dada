'use strict'

// Codes and reasons in words, for people who look at a page.

/** @type {Record<string, string>} */
const ERRORS = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the server ended the connection before its answer was complete',
  EPIPE: 'the server ended the connection while the request was being sent',
  ETIMEDOUT: 'nobody answered in time',
  ENOTFOUND: 'there is no such name',
  EAI_AGAIN: 'the name server did not answer',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  EMFILE: 'the process has no descriptor left',
  EADDRNOTAVAIL: 'the process has no local port left',
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: 'nobody that the runtime trusts vouches for the server',
  SELF_SIGNED_CERT_IN_CHAIN: 'nobody that the runtime trusts vouches for the server',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'nobody that the runtime trusts vouches for the server',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'nobody that the runtime trusts vouches for the server',
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for other names",
  ERR_KEEPWIRE_QUEUE_FULL: 'more requests wait than maxPending allows',
  ERR_KEEPWIRE_CIRCUIT_OPEN: 'its host has failed too often of late',
  ERR_KEEPWIRE_QUEUE_TIMEOUT: 'requests waited for a connection for longer than queueTimeout',
  ERR_KEEPWIRE_CONNECT_TIMEOUT: 'connections took longer to open than connectTimeout',
  ERR_KEEPWIRE_HEADERS_TIMEOUT: 'answers took longer than headersTimeout',
  ERR_KEEPWIRE_BODY_TIMEOUT: 'bodies stalled for longer than bodyTimeout',
}

/** @type {Record<string, string>} */
const CLOSES = {
  unknown: 'for no known reason',
  'closed-by-peer': 'the server closed it',
  'reset-by-peer': 'the server reset it',
  'unsolicited-bytes': 'the server sent bytes that nobody had asked for',
  'idle-timeout': "idle for as long as the agent or the server's hint allows",
  evicted: 'its place went to another request',
  'agent-destroyed': 'its agent is gone',
  aborted: 'its request was aborted',
  'not-reusable': 'request or response said close',
  'max-requests': 'it served as many requests as allowed',
  error: 'it failed',
  'keep-alive-off': 'its agent keeps no idle connections',
  limits: 'there were more than the agent allows',
  'socket-active-ttl': 'it was as old as socketActiveTTL allows',
  'address-gone': 'its name does not stand for its address any more',
  'timed-out': 'headersTimeout or bodyTimeout passed',
  lent: 'it went to another agent that shares',
}

/** Why a request got no connection that was there. @type {Record<string, string>} */
const MISSES = {
  'none-idle': 'there was none to that origin',
  'all-busy': 'all were busy',
  multiplexed: 'it shares a connection of HTTP/2',
  'idle-too-long': 'those that were idle had been so for too long to be safe',
}

/** @param {string} code */
function errorInWords(code) {
  return ERRORS[code] ?? (code.startsWith('HPE_') ? 'the server broke the rules of HTTP' : '')
}

/** @param {string} reason */
function closeInWords(reason) {
  return CLOSES[reason] ?? reason
}

/** @param {string} reason of explain() */
function missInWords(reason) {
  const [, differs] = /^key-differs: (.*)$/.exec(reason) ?? []
  if (differs !== undefined) return `those to that host are for another ${differs}`
  return MISSES[reason] ?? (reason in CLOSES ? `the one before is gone, ${CLOSES[reason]}` : reason)
}

/** @param {number} count @param {string} one @param {string} [more] */
function counted(count, one, more = `${one}s`) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : more}`
}

module.exports = { CLOSES, closeInWords, counted, ERRORS, errorInWords, missInWords }
