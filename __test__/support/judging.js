'use strict'

// What becomes of requests to a server with some chain of certificates, by every way of requesting, in one word each.

const https = require('node:https')

const kw = require('../..')

/**
 * @param {import('./chains').Chain} chain
 * @returns {Promise<https.Server | null>} null: this runtime's server refuses to present it
 */
function serve({ key, chain }) {
  return new Promise((resolve) => {
    let server
    try {
      server = https.createServer({ key, cert: chain.join('') }, (_request, response) => response.end('ok'))
    } catch {
      resolve(null)
      return
    }
    server.on('tlsClientError', () => {})
    server.on('error', () => resolve(null))
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}

/** OpenSSL's errors name a thread, a function and a line. */
function told({ code, message }) {
  return `${code} ${message.replaceAll(/[0-9A-F]{16}:|:[^:]*\.c(?:c)?:\d+:/g, '')}`
}

/**
 * @param {typeof https.request} request
 * @param {object} options
 * @returns {Promise<string>}
 */
function byRequest(request, options) {
  return new Promise((resolve) => {
    let req
    try {
      req = request({ host: 'localhost', family: 4, ...options }, (res) => {
        const { authorized, authorizationError } = req.socket
        res.on('end', () => resolve(authorized ? 'authorized' : `unauthorized ${authorizationError}`)).resume()
      })
    } catch (error) {
      resolve(`threw ${error.code}`)
      return
    }
    req.on('error', (error) => resolve(told(error))).end()
  })
}

/**
 * @param {string} url
 * @param {object} [init]
 */
async function byFetch(url, init) {
  try {
    await (await kw.fetch(url, init)).text()
    return 'authorized'
  } catch (error) {
    return told(error.cause ?? error)
  }
}

/**
 * @param {import('./chains').Chain} chain
 * @returns {Promise<Record<string, string> | null>}
 */
async function judgements(chain) {
  const server = await serve(chain)
  if (server === null) return null
  const { port } = server.address()
  const { ca, options, host = 'localhost' } = chain
  const settings = { ca, ...options }
  const agents = []
  const agent = (Agent, more) => {
    agents.push(new Agent({ ...settings, ...more }))
    return agents.at(-1)
  }
  const unverified = { rejectUnauthorized: false }
  const own = agent(kw.HttpsAgent)
  const all = {
    runtime: await byRequest(https.request, { host, port, agent: agent(https.Agent) }),
    runtimeUnverified: await byRequest(https.request, { host, port, agent: agent(https.Agent, unverified) }),
    agent: await byRequest(https.request, { host, port, agent: own }),
    agentUnverified: await byRequest(https.request, { host, port, agent: agent(kw.HttpsAgent, unverified) }),
    own: await byRequest(kw.https.request, { host, port, agent: agent(kw.HttpsAgent) }),
    fetch: await byFetch(`https://${host}:${port}/`, { agent: own }),
  }
  for (const made of agents) made.destroy()
  await close(server)
  return all
}

/** @param {https.Server} server */
function close(server) {
  const closed = new Promise((resolve) => server.close(resolve))
  // Node 18.0 and Deno have no such method, and close what is idle by themselves.
  server.closeAllConnections?.()
  return closed
}

module.exports = { byFetch, byRequest, close, judgements, serve }
