'use strict'

// What reuse through a proxy is counted by: the proxy's own log and the target's connections. Short in proxy/real.test.js, at
// length in `npm run proxies`.

const http = require('node:http')

const { inLanes, send } = require('./client')
const { authority } = require('./http2')
const { agentUnderTest } = require('./runtime')
const { listen, SecureAgent, secureServer } = require('./secure')
const { until } = require('./wait')

const PlainAgent = agentUnderTest('http')
const KEPT_MS = 600_000

/** @typedef {import('./suite').Scope} Scope */
/** @typedef {import('./real-proxies').Started} Started */

/**
 * https requests through a proxy, so many at a time.
 * @param {Scope} scope
 * @param {Started} started
 * @param {{ requests: number, width: number }} run
 * @returns {Promise<{ connections: number, asked: number }>} at the target; tunnels in the proxy's log
 */
async function tunnelled(scope, { asked, proxyTls, url }, { requests, width }) {
  const { root, server } = await authority
  const target = await secureServer(scope, server, { keepAliveTimeout: KEPT_MS }, (request, response) =>
    response.end(request.url),
  )
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxy: url, proxyTls, family: 4 }))
  await inLanes(width, requests, async (at) => {
    const path = `/${at}`
    const { body, status } = await send({ host: 'localhost', port: target.port, path, agent })
    if (status !== 200 || body !== path) throw new Error(`${path}: ${status}, ${body}`)
  })
  // squid's log tells of a tunnel when it is over.
  agent.destroy()
  return { connections: target.connections, asked: await asked(target.connections) }
}

/**
 * http requests to several origins in turn, one after another.
 * @param {Scope} scope
 * @param {Started} started squid
 * @param {{ origins: number, rounds: number }} run
 * @returns {Promise<{ connections: number, requests: number }>} to the proxy, by its log
 */
async function forwarded(scope, { log = () => [], proxyTls, url }, { origins, rounds }) {
  const answer = (/** @type {any} */ request, /** @type {any} */ response) => response.end(request.url)
  const targets = []
  for (let at = 0; at < origins; at++)
    targets.push(await listen(scope, http.createServer({ keepAliveTimeout: KEPT_MS }, answer)))
  const agent = scope.adopt(new PlainAgent({ keepAlive: true, proxy: url, proxyTls }))
  for (let round = 0; round < rounds; round++) {
    for (const { port } of targets) {
      const { body, status } = await send({ port, path: `/${round}`, agent })
      if (status !== 200 || body !== `/${round}`) throw new Error(`${port}: ${status}, ${body}`)
    }
  }
  await until(() => log().length >= origins * rounds, 'squid has logged all')
  return { connections: new Set(log().map(([, , , port]) => port)).size, requests: log().length }
}

module.exports = { forwarded, tunnelled }
