'use strict'

// Who is compared, each behind the same few calls, and where: servers of one scheme.

const agentkeepalive = require('agentkeepalive')
const undici = require('undici')

const { request: begin } = require('../../support/client')
const { Peer, reply } = require('../../support/peer')
const { startRemote } = require('../../support/remote')
const { trusting } = require('../../support/schemes')
const { delay } = require('../../support/wait')

const PATIENCE_MS = 3_000

const OK = (_, connection) => connection.write(reply('ok'))

/**
 * @typedef {object} Client
 * @property {(options: Record<string, any>) => { answer: Promise<string>, abort: () => void, timedOut?: Promise<unknown> }} send
 *   `isRead: false`: the response's body is left where it is
 * @property {() => unknown} destroy
 * @property {any} [agent]
 */

/**
 * @typedef {object} Place where one contender meets one situation
 * @property {string} name whose turn it is
 * @property {(options: Record<string, any>) => Client} make
 * @property {(handlers: any, body: (peer: Peer) => Promise<string>) => Promise<string>} withPeer a server in this process
 * @property {(body: (remote: { port: number }) => Promise<string>) => Promise<string>} withRemote one in another
 * @property {'http' | 'https'} scheme
 */

/** @param {any} Agent @param {any} identity @returns {(options: object) => Client} */
function overAgent(Agent, identity) {
  return (options) => {
    const agent = new Agent(trusting({ keepAlive: true, ...options }, identity))
    return {
      agent,
      send: ({ isRead = true, ...given }) => {
        const request = begin({ agent, ...given })
        const answer = new Promise((resolve, reject) => {
          request.on('error', reject)
          request.on('response', (response) => {
            if (!isRead) return
            let body = ''
            response.on('data', (chunk) => {
              body += chunk
            })
            response.on('error', reject)
            response.on('end', () => resolve(body))
          })
        })
        const timedOut = new Promise((resolve) => request.on('timeout', resolve))
        request.end(given.method === 'POST' ? 'x' : undefined)
        return { answer, timedOut, abort: () => request.destroy() }
      },
      destroy: () => agent.destroy(),
    }
  }
}

/** undici's names for what has another one there. */
function overUndici({ name: scheme }, identity) {
  return ({ maxSockets, headersTimeout, bodyTimeout, connectTimeout, socketActiveTTL, maxRequestsPerSocket }) => {
    const dispatcher = new undici.Agent({
      connections: maxSockets ?? null,
      connect: trusting(connectTimeout ? { timeout: connectTimeout } : {}, identity),
      ...(headersTimeout && { headersTimeout }),
      ...(bodyTimeout && { bodyTimeout }),
      ...(socketActiveTTL && { clientTtl: socketActiveTTL }),
      ...(maxRequestsPerSocket && { maxRequestsPerClient: maxRequestsPerSocket }),
    })
    return {
      send: ({ port, path = '/', method = 'GET', isRead = true }) => {
        const control = new AbortController()
        const options = { dispatcher, method, signal: control.signal, body: method === 'POST' ? 'x' : undefined }
        const url = `${scheme}://127.0.0.1:${port}${path}`
        const answer = undici.request(url, options).then(({ body }) => (isRead ? body.text() : new Promise(() => {})))
        return { answer, abort: () => control.abort() }
      },
      destroy: () => dispatcher.destroy(),
    }
  }
}

/**
 * @param {import('../../support/schemes').Scheme} scheme
 * @returns {Promise<Place[]>} one for each contender, ours first
 */
async function places(scheme) {
  const identity = await scheme.identity()
  const contenders = {
    keepwire: overAgent(scheme.Agent, identity),
    "runtime's own": overAgent(scheme.RuntimeAgent, identity),
    agentkeepalive: overAgent(scheme.name === 'https' ? agentkeepalive.HttpsAgent : agentkeepalive, identity),
    undici: overUndici(scheme, identity),
  }
  const withPeer = async (handlers, body) => {
    const peer = new Peer(handlers, identity)
    await peer.listen()
    try {
      return await body(peer)
    } finally {
      await peer.close()
    }
  }
  const withRemote = async (body) => {
    const remote = await startRemote('remote-peer.js', { identity })
    try {
      return await body(remote)
    } finally {
      await remote.stop()
    }
  }
  return Object.entries(contenders).map(([name, make]) => ({ name, make, withPeer, withRemote, scheme: scheme.name }))
}

/** 'ok', an error's code, or 'hangs'. @param {Promise<unknown>} promise */
function outcome(promise) {
  const settled = promise.then(
    () => 'ok',
    (error) => error.code ?? error.name,
  )
  return Promise.race([settled, delay(PATIENCE_MS).then(() => 'hangs')])
}

module.exports = { OK, outcome, places }
