'use strict'

// Ways to ask for a stream that never ends (support/hostile-peer.js has them): each is over sooner or later, and can be given
// up before.

const http = require('node:http')
const http2 = require('node:http2')
const https = require('node:https')

const { ca } = require('./fetch-tls')

/**
 * @typedef {{ agent?: any, scheme: 'http' | 'https', port: number, path: string, timeout?: number }} Asked
 * @typedef {{ over: Promise<any>, destroy: () => void }} Stream `over` resolves with its error or its end
 */

const runtimes = { http, https }

/**
 * @param {any} module whose request() it is
 * @param {object} options
 * @returns {Stream}
 */
function overRequest(module, options) {
  const request = module.request({ host: '127.0.0.1', ...options })
  const over = new Promise((resolve) => {
    request.on('error', resolve)
    request.on('response', (response) => response.on('error', resolve).on('end', resolve).resume())
    request.on('close', resolve)
  })
  request.end()
  return { over, destroy: () => request.destroy() }
}

/**
 * @param {typeof globalThis.fetch} fetch
 * @param {Asked} asked
 * @returns {Stream}
 */
function overFetch(fetch, { scheme, port, path, ...options }) {
  const controller = new AbortController()
  const { signal } = controller
  const read = async (response) => {
    for await (const _ of response.body);
  }
  const over = fetch(`${scheme}://127.0.0.1:${port}${path}`, /** @type {any} */ ({ ...options, signal })).then(read)
  return { over: over.catch((error) => error.cause ?? error), destroy: () => controller.abort() }
}

const ours = () => require('../..')

/** Ours, over an agent. @type {Record<string, (asked: Asked) => Stream>} */
const ways = {
  'http.request': ({ scheme, ...options }) => overRequest(runtimes[scheme], options),
  'our own request': ({ scheme, ...options }) => overRequest(ours()[scheme], options),
  fetch: (asked) => overFetch(ours().fetch, asked),
}

/** The same without one. @param {Asked} asked */
const fetchAlone = ({ agent, ...asked }) => overFetch(ours().fetch, asked)

/** The runtime's. @type {Record<string, (asked: Asked) => Stream>} */
const runtimeWays = {
  'http.request': ways['http.request'],
  fetch: ({ agent, ...asked }) => overFetch(globalThis.fetch, asked),
}

/** The same over HTTP/2. @type {Record<string, (asked: Asked) => Stream>} */
const runtimeHttp2Ways = {
  'node:http2': ({ port, path }) => {
    const session = http2.connect(`https://127.0.0.1:${port}`, { ca })
    const stream = session.request({ ':path': path })
    const over = new Promise((resolve) => {
      session.on('error', resolve).on('close', resolve)
      stream.on('error', resolve).on('end', resolve).resume()
    })
    // A session reads its flood when its stream has ended, too: all that come after would be measured beside it.
    over.then(() => session.destroy())
    return { over, destroy: () => session.destroy() }
  },
}

module.exports = { fetchAlone, runtimeHttp2Ways, runtimeWays, ways }
