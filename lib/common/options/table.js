'use strict'

// Every option by which connections differ, or that is ours: one row each. Lists of options elsewhere are made of these rows.
// Where every request asks, names stand in the code, which costs a fraction of a loop; option-table.test.js holds those places
// to the rows, and the rows to what the runtimes' own agents and sockets read.

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {boolean} [profile] how the engine connects depends on it
 * @property {boolean} [lasting] what it does to a connection lasts, and no name tells: agents share those that have it in common
 * @property {boolean} [rare] an agent or a request that has it says more about connections than host and port
 * @property {boolean} [fallback] only the runtime's sockets can honour it
 * @property {boolean} [number] a number that is not negative, or it is refused
 * @property {boolean} [live] heeded when it is changed on an agent that has had requests
 * @property {boolean} [named] in the names of the runtime's https agents, in the order of the rows
 * @property {boolean} [known] it means nothing to a runtime unless it is in the names of its https agents
 * @property {boolean} [text] certificates or keys
 * @property {boolean} [copied] its value may change in place
 * @property {boolean} [tagged] a value that is an object tells connections apart, whatever is in it
 */

/** What to connect to, and how. @type {readonly Row[]} */
const CONNECTION = Object.freeze([
  { name: 'host', profile: true },
  { name: 'port', profile: true },
  { name: 'socketPath', profile: true, rare: true },
  { name: 'family', profile: true, rare: true },
  { name: 'localAddress', profile: true, rare: true },
  { name: 'localPort', profile: true, lasting: true, rare: true },
  { name: 'noDelay', profile: true, lasting: true },
  { name: 'keepAlive', profile: true },
  { name: 'keepAliveInitialDelay', profile: true },
  { name: 'autoSelectFamily', profile: true, rare: true },
  { name: 'autoSelectFamilyAttemptTimeout', profile: true, rare: true },
  { name: 'connectTimeout', profile: true, number: true, live: true },
  { name: 'tcpUserTimeout', profile: true, lasting: true, number: true, live: true },
  { name: 'typeOfService', rare: true },
  { name: 'proxyEnv', rare: true },
  { name: '_proxy', rare: true },
  { name: 'lookup', profile: true, lasting: true, rare: true },
  { name: 'allowAddress', profile: true, lasting: true, rare: true },
  { name: 'hints', rare: true, fallback: true },
  { name: 'signal', rare: true, fallback: true },
  { name: 'fd', rare: true, fallback: true },
  { name: 'handle', rare: true, fallback: true },
  { name: 'onread', rare: true, fallback: true },
  { name: 'blockList', rare: true, fallback: true },
])

/** Of TLS. @type {readonly Row[]} */
const TLS = Object.freeze([
  { name: 'ca', named: true, text: true, copied: true },
  { name: 'cert', named: true, text: true, copied: true },
  { name: 'clientCertEngine', named: true, fallback: true },
  { name: 'ciphers', named: true },
  { name: 'key', named: true, text: true, copied: true },
  { name: 'pfx', named: true, fallback: true, text: true, copied: true },
  { name: 'rejectUnauthorized', named: true },
  { name: 'servername', named: true },
  { name: 'minVersion', named: true },
  { name: 'maxVersion', named: true },
  { name: 'secureProtocol', named: true, fallback: true },
  { name: 'crl', named: true, text: true, copied: true },
  { name: 'honorCipherOrder', named: true },
  { name: 'ecdhCurve', named: true, fallback: true },
  { name: 'dhparam', named: true, fallback: true },
  { name: 'secureOptions', named: true, fallback: true },
  { name: 'sessionIdContext', named: true },
  { name: 'sigalgs', named: true, fallback: true },
  // From here on they are in some runtimes' names at the most.
  { name: 'checkServerIdentity', tagged: true },
  { name: 'secureContext', fallback: true, tagged: true },
  { name: 'pskCallback', fallback: true, tagged: true },
  { name: 'session', fallback: true, tagged: true },
  { name: 'socket', fallback: true, tagged: true },
  { name: 'privateKeyEngine', fallback: true },
  { name: 'privateKeyIdentifier', fallback: true },
  { name: 'requestOCSP', fallback: true },
  { name: 'enableTrace', fallback: true },
  { name: 'certificateCompression', fallback: true },
  { name: 'caFile', fallback: true, known: true },
  { name: 'certFile', fallback: true, known: true },
  { name: 'keyFile', fallback: true, known: true },
  { name: 'ALPNProtocols', copied: true },
  { name: 'allowPartialTrustChain' },
  { name: 'passphrase' },
])

/** Those of agents that are ours, and are not about connecting. @type {readonly Row[]} */
const AGENT = Object.freeze([
  { name: 'freeSocketTimeout', number: true, live: true },
  { name: 'socketActiveTTL', number: true, live: true },
  { name: 'headersTimeout', number: true, live: true },
  { name: 'bodyTimeout', number: true, live: true },
  { name: 'queueTimeout', number: true, live: true },
  { name: 'maxRequestsPerSocket', number: true, live: true },
  { name: 'maxPending', number: true, live: true },
  { name: 'retry', live: true },
  { name: 'io', live: true },
  { name: 'shared' },
  { name: 'http2' },
  { name: 'h2c' },
  { name: 'maxStreams', number: true },
  { name: 'pingAfter', number: true },
  { name: 'warnings' },
  { name: 'dns' },
  { name: 'addresses' },
  { name: 'policy' },
  { name: 'breaker' },
  { name: 'proxy', live: true },
  { name: 'proxyHeaders' },
  { name: 'proxyTls' },
  { name: 'onProxyError' },
])

/**
 * @param {readonly Row[]} rows
 * @param {(row: Row) => unknown} has
 */
function namesOf(rows, has) {
  return Object.freeze(rows.filter(has).map(({ name }) => name))
}

/** Options of ours that an agent heeds when they are changed. */
const LIVE = namesOf([...AGENT, ...CONNECTION], ({ live }) => live)

/** What an agent has set once for all that agents must have in common to share connections. */
const LASTING = namesOf(CONNECTION, ({ lasting }) => lasting)

module.exports = { AGENT, CONNECTION, LASTING, LIVE, namesOf, TLS }
