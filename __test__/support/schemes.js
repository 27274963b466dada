'use strict'

// http and https, as tests that hold for both see them: whose agents there are, and what servers and agents of https need.

const http = require('node:http')
const https = require('node:https')

const { agentUnderTest } = require('./runtime')

/** @type {Promise<import('./listener').Identity> | undefined} */
let made

/** Whom servers prove to be: made once a process, when it is first needed. */
async function loopbackIdentity() {
  // Loaded late: making certificates takes a while, and most tests need none.
  const { makeAuthority } = require('./authority')
  const { root, server } = await makeAuthority()
  return { ca: root.pem, pem: server.pem, key: server.key }
}

/**
 * @typedef {object} Scheme
 * @property {'http' | 'https'} name
 * @property {any} Agent the agent under test
 * @property {any} RuntimeAgent the runtime's own
 * @property {() => Promise<import('./listener').Identity | undefined>} identity of its servers
 */

/** @type {Record<'http' | 'https', Scheme>} */
const schemes = {
  http: {
    name: 'http',
    get Agent() {
      return agentUnderTest('http')
    },
    RuntimeAgent: http.Agent,
    identity: async () => undefined,
  },
  https: {
    name: 'https',
    get Agent() {
      return agentUnderTest('https')
    },
    RuntimeAgent: https.Agent,
    identity: () => {
      made ??= loopbackIdentity()
      return made
    },
  },
}

/** https with agents that speak HTTP/2 where their server does; the runtime's do not. @type {any} */
const http2 = {
  ...schemes.https,
  name: 'http2',
  Agent: function Http2Agent(options) {
    return new schemes.https.Agent({ ...options, http2: true })
  },
}

/**
 * An agent's options, with trust in the servers of that identity.
 * @param {object | undefined} options
 * @param {import('./listener').Identity | undefined} identity
 */
function trusting(options, identity) {
  return identity ? { ca: identity.ca, ...options } : options
}

module.exports = { http2, schemes, trusting }
