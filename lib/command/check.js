'use strict'

// `keepwire check`: asks a server again and again over one agent, and looks at what becomes of the connections.

const dns = require('node:dns')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')

const { version } = require('../../package.json')
const { explain } = require('../api/explain.js')
const { hintOf } = require('../bridge/response-heads.js')
const { Agent } = require('../agent/agent.js')
const { Agent: HttpsAgent } = require('../agent/https-agent.js')
const { watchIdle } = require('./idle.js')
const { judge } = require('./verdict.js')

/** Enough to see what a server does, few enough to be no burden. */
const MOST_REQUESTS = 25

/** A check is no download. */
const MOST_BYTES = 16 * 1024 * 1024

/** For a whole response: one that comes byte by byte is none to wait for. */
const pace = { mostMs: 60_000 }

const DEFAULTS = {
  keepAlive: true,
  connectTimeout: 10_000,
  headersTimeout: 30_000,
  bodyTimeout: 30_000,
  warnings: false,
}

const HEADERS = { accept: '*/*', 'user-agent': `keepwire/${version} (check)` }

/**
 * @typedef {object} Answer
 * @property {boolean} reused
 * @property {string | null} reason why no connection was reused
 * @property {boolean} resent
 * @property {number} dnsMs
 * @property {number} connectMs
 * @property {number} tlsMs
 * @property {number} firstByteMs from the request to the response's head
 * @property {number} totalMs
 * @property {number} status
 * @property {string} httpVersion
 * @property {string | null} connection the header
 * @property {string | null} keepAlive the header
 * @property {string} server its address
 * @property {{ protocol: string, cipher: string, alpn: string | null } | null} tls
 */
/** @typedef {{ code: string, message: string }} Failed */
/** @typedef {{ timeoutMs: number | null, max: number | null }} Hint */

/**
 * @param {URL} url
 * @param {any} agent
 * @returns {Promise<Answer>}
 */
function ask(url, agent) {
  const began = performance.now()
  const since = () => performance.now() - began
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === 'https:' ? https : http
    const asked = request(url, { agent, headers: HEADERS })
    const giveUp = (/** @type {string} */ why, /** @type {string} */ code) =>
      asked.destroy(Object.assign(new Error(`The response ${why} for a check`), { code }))
    const timer = setTimeout(giveUp, pace.mostMs, 'takes too long', 'TOO_SLOW')
    asked.on('close', () => clearTimeout(timer))
    asked.on('error', reject)
    asked.on('response', (response) => {
      const firstByteMs = since()
      const { socket } = response
      const told = {
        status: response.statusCode ?? 0,
        httpVersion: response.httpVersion,
        connection: response.headers.connection ?? null,
        keepAlive: headerOf(response, 'keep-alive'),
        server: `${socket.remoteAddress}:${socket.remotePort}`,
        tls: tlsOf(/** @type {any} */ (socket)),
      }
      let bytes = 0
      response.on('data', (chunk) => {
        bytes += chunk.length
        if (bytes > MOST_BYTES) giveUp('is too large', 'TOO_LARGE')
      })
      response.on('error', reject)
      response.on('end', () => resolve({ ...told, ...connectionOf(asked), firstByteMs, totalMs: since() }))
    })
    asked.end()
  })
}

/**
 * @param {http.IncomingMessage} response
 * @param {string} name
 */
function headerOf(response, name) {
  const value = response.headers[name]
  return value === undefined ? null : String(value)
}

/** @param {import('node:tls').TLSSocket} socket */
function tlsOf(socket) {
  if (!socket.encrypted) return null
  return {
    protocol: String(socket.getProtocol()),
    cipher: socket.getCipher()?.standardName ?? '',
    alpn: socket.alpnProtocol || null,
  }
}

/** @param {http.ClientRequest} asked */
function connectionOf(asked) {
  const how = /** @type {any} */ (explain(asked))
  const { connectMs = 0, dnsMs = 0, reason, retried = false, reused, tlsMs = 0 } = how
  return { reused, reason: reused ? null : (reason ?? null), resent: retried, dnsMs, connectMs, tlsMs }
}

/** @param {URL} url */
async function addressesOf({ hostname }) {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (net.isIP(host)) return [host]
  try {
    const found = await dns.promises.lookup(host, { all: true })
    return found.map(({ address }) => address)
  } catch {
    // The first request tells why.
    return []
  }
}

/**
 * What a server has said about how long connections last: the least of all.
 * @param {Answer[]} answers
 * @returns {Hint | null}
 */
function hintIn(answers) {
  const said = answers.filter(({ keepAlive }) => keepAlive !== null)
  if (said.length === 0) return null
  const hints = said.map(({ keepAlive }) => hintOf(['keep-alive', String(keepAlive)]))
  const timeouts = hints.map(({ timeoutMs }) => timeoutMs).filter((ms) => ms >= 0)
  const max = Math.max(...hints.map((hint) => hint.max))
  return { timeoutMs: timeouts.length > 0 ? Math.min(...timeouts) : null, max: Number.isFinite(max) ? max : null }
}

/**
 * @param {URL} url
 * @param {object} options
 * @param {number} options.requests
 * @param {number} options.idleLimitMs how long to wait for an idle connection's end; 0: not at all
 * @param {Record<string, unknown>} options.agentOptions
 * @param {(line: string) => void} options.tell what is under way
 */
async function check(url, { agentOptions, idleLimitMs, requests, tell }) {
  const agent = new (url.protocol === 'https:' ? HttpsAgent : Agent)({ ...DEFAULTS, ...agentOptions })
  const addresses = await addressesOf(url)
  /** @type {Answer[]} */
  const answers = []
  /** @type {Failed[]} */
  const failures = []
  try {
    for (let at = 1; at <= requests; at += 1) {
      tell(`request ${at} of ${requests}`)
      try {
        answers.push(await ask(url, agent))
      } catch (error) {
        const { code = 'unknown', message } = /** @type {Error & { code?: string }} */ (error)
        failures.push({ code, message })
        // Nobody is there, or whoever is does not get on with us.
        if (answers.length === 0) break
      }
    }
  } finally {
    agent.destroy()
  }
  const idle = answers.length > 0 && idleLimitMs > 0 ? await watchIdle(url, agentOptions, idleLimitMs, tell) : null
  const seen = { addresses, answers, failures, hint: hintIn(answers), idle }
  // What is shown may be passed on: neither credentials nor a query.
  return { url: `${url.origin}${url.pathname}`, requests, ...seen, ...judge(seen) }
}

/** @typedef {Awaited<ReturnType<typeof check>>} Result */

module.exports = { check, MOST_REQUESTS, pace }
