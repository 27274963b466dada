'use strict'

const { randomUUID } = require('node:crypto')
const { performance } = require('node:perf_hooks')

const { fetch } = require('keepwire')

/**
 * @param {object} options
 * @param {object} options.agent
 * @param {() => Promise<string>} options.signIn gives a token
 * @param {(line: object) => void} options.log
 */
function wrapped({ agent, signIn, log }) {
  /** One sign-in for all requests that wait for it. */
  let token

  async function attempt(url, options = {}) {
    token ??= signIn()
    const used = token
    const headers = new Headers(options.headers)
    headers.set('authorization', `Bearer ${await used}`)
    headers.set('x-request-id', randomUUID())
    const startedAt = performance.now()
    const response = await fetch(url, { agent, timeout: 10_000, ...options, headers })
    log({ url: String(url), status: response.status, ms: Math.round(performance.now() - startedAt) })
    return { response, used }
  }

  return async (url, options) => {
    const { response, used } = await attempt(url, options)
    if (response.status !== 401) return response
    // The connection is free for the next one only when the body was read, or given up.
    await response.arrayBuffer()
    if (token === used) token = undefined
    return (await attempt(url, options)).response
  }
}

module.exports = { wrapped }
