'use strict'

// Targets that are reached through a proxy, and agents that go there.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const { inspect } = require('node:util')

const { authority } = require('./http2')
const { agentUnderTest } = require('./runtime')
const { listen, SecureAgent, secureServer } = require('./secure')
const { until } = require('./wait')

const PlainAgent = agentUnderTest('http')

/**
 * A target without TLS, which keeps its connections.
 * @param {import('./suite').Scope} scope
 * @param {import('node:http').RequestListener} [answer]
 */
function plainTarget(scope, answer = (_request, response) => response.end('ok')) {
  return listen(scope, http.createServer({ keepAliveTimeout: 60_000 }, answer))
}

/** @param {import('./suite').Scope} scope @param {object} options */
function plainAgent(scope, options) {
  return scope.adopt(new PlainAgent({ keepAlive: true, ...options }))
}

/**
 * Agents with such options are not made, and no message shows the password 'hush'.
 * @param {object} options
 * @param {string} code
 */
function assertRefused(options, code) {
  const { HttpsAgent } = require('../..')
  assert.throws(
    () => new HttpsAgent(options),
    (error) => error.code === code && !error.message.includes('hush'),
    inspect(options),
  )
}

/** Who asks the proxy, and how it is told so. */
const LOGIN = {
  user: 'proxy-user',
  password: 'proxy-s3cret',
  digest: Buffer.from('proxy-user:proxy-s3cret').toString('base64'),
}

/**
 * A target with TLS, which answers all but `/held` at once, and an agent that goes to it through a proxy.
 * @param {import('./suite').Scope} scope
 * @param {{ url: string }} proxy
 * @param {string} [login]
 */
async function targetThrough(scope, { url }, login = `${LOGIN.user}:${LOGIN.password}`) {
  const { root, server } = await authority
  /** @type {import('node:http').ServerResponse[]} */
  const held = []
  const target = await secureServer(scope, server, { keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.url === '/held') held.push(response)
    else response.end('ok')
  })
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, proxy: url.replace('//', `//${login}@`) }))
  return {
    agent,
    origin: `https://localhost:${target.port}`,
    target: {
      held: () => until(() => held.length > 0),
      release: () => held.forEach((response) => response.end('ok')),
    },
    /** @param {string} path @returns {Promise<any>} */
    ask: (path) =>
      new Promise((resolve) => {
        const request = https.request({ host: 'localhost', port: target.port, path, agent }, (response) => {
          response.resume().on('end', () => resolve({ status: response.statusCode }))
          response.on('error', (error) => resolve({ error }))
        })
        request.on('error', (error) => resolve({ error })).end()
      }),
  }
}

module.exports = { assertRefused, LOGIN, plainAgent, plainTarget, targetThrough }
