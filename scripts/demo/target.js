'use strict'

// The address given on the command line: what is accepted, and what its failures are called.

const http = require('node:http')
const https = require('node:https')

const { UserError } = require('../report.js')

/** @returns {{ url: URL, client: object, KeepwireAgent: Function }} */
function parseTarget(address, keepwire) {
  let url
  try {
    url = new URL(address)
  } catch {
    throw new UserError(`"${address}" is not an address: try http://example.com/`)
  }
  if (url.protocol === 'http:') return { url, client: http, KeepwireAgent: keepwire.Agent }
  if (url.protocol !== 'https:')
    throw new UserError(`"${url.protocol}" is not supported: the address starts with http://`)
  if (typeof keepwire.HttpsAgent !== 'function') {
    throw new UserError('https comes with the next release of keepwire: the address starts with http:// for now')
  }
  return { url, client: https, KeepwireAgent: keepwire.HttpsAgent }
}

const CAUSES = {
  ENOTFOUND: (url) => `there is no host named ${url.hostname}`,
  EAI_AGAIN: (url) => `the name server did not answer for ${url.hostname}: is the network up?`,
  ECONNREFUSED: (url) => `${url.host} refuses connections: is a server listening there?`,
  ECONNRESET: (url) => `${url.host} closed a connection without answering`,
  EHOSTUNREACH: (url) => `${url.host} cannot be reached from here`,
  ENETUNREACH: (url) => `${url.host} cannot be reached from here: is the network up?`,
  ETIMEDOUT: (url) => `${url.host} did not answer the attempt to connect`,
}

/** A failed request as one clear line; anything that is not a network failure stays as it is. */
function explainFailure(error, url) {
  if (error instanceof UserError || typeof error?.code !== 'string') return error
  const cause = CAUSES[error.code]?.(url) ?? `${url.host}: ${error.message}`
  return new UserError(`${cause} (${error.code})`)
}

module.exports = { explainFailure, parseTarget }
