'use strict'

// Requests over HTTP/2 to a server that breaks each rule there is, from a seeded generator (support/chaos-http2-peer.js). Each must
// settle exactly once, with its own body or with an error where the server (or the caller, by aborting) is to blame. Every third is our
// own, which waits and is sent in its own way.

const https = require('node:https')

const { https: own } = require('../..')
const { bodyOf } = require('./chaos-bodies')
const { hear } = require('./chaos-hearing')
const { random } = require('./client')

const SHORT = 60

/**
 * `fails`: of the request itself, always, never, or maybe. `hurts`: the session ends without peace, and what else is on it with it.
 */
const KINDS = {
  length: { weight: 12, fails: 'never', length: (n) => n },
  early: { weight: 3, fails: 'never', length: (n) => n, method: 'POST' },
  'small-frames': { weight: 4, fails: 'never' },
  trickle: { weight: 3, fails: 'never' },
  informational: { weight: 3, fails: 'never' },
  noise: { weight: 3, fails: 'never' },
  windows: { weight: 3, fails: 'never' },
  ping: { weight: 3, fails: 'never' },
  'reset-after': { weight: 3, fails: 'never' },
  reset: { weight: 4, fails: 'maybe' },
  'reset-in-body': { weight: 4, fails: 'always' },
  refuse: { weight: 4, fails: 'maybe' },
  'refuse-early': { weight: 2, fails: 'always' },
  goaway: { weight: 3, fails: 'never' },
  'goaway-refusing': { weight: 2, fails: 'maybe' },
  'fin-after': { weight: 3, fails: 'never', hurts: true },
  fin: { weight: 2, fails: 'always', hurts: true },
  drop: { weight: 2, fails: 'always', hurts: true },
  cut: { weight: 2, fails: 'always', hurts: true },
  'closed-stream': { weight: 1, fails: 'never', hurts: true },
  'even-stream': { weight: 1, fails: 'always', hurts: true },
  push: { weight: 1, fails: 'always', hurts: true },
  overflow: { weight: 1, fails: 'maybe', hurts: true },
  garbage: { weight: 1, fails: 'always', hurts: true },
  flood: { weight: 1, fails: 'always', hurts: true },
  silence: { weight: 2, fails: 'always', aborted: true },
}

const tickets = Object.entries(KINDS).flatMap(([name, kind]) =>
  Array.from({ length: kind.weight }, () => ({ name, kind })),
)

function planned(next, id) {
  const { name, kind } = tickets[Math.floor(next() * tickets.length)]
  const number = Math.floor(next() * (next() < 0.1 ? 100_000 : 400))
  const method = kind.method ?? (next() < 0.3 ? 'POST' : 'GET')
  const sent = method === 'POST' ? bodyOf(id, Math.floor(next() * (next() < 0.1 ? 300_000 : 2_000))) : ''
  const expected = bodyOf(id, kind.length ? number : SHORT)
  const abort = kind.aborted ? next() * 30 : next() < 0.04 ? next() * 5 : -1
  return { id, name, kind, number, method, sent, expected, abort, pieces: 1 + Math.floor(next() * 4) }
}

/** @returns {Promise<{ settled: string, error: any }>} rejects if it settles wrongly */
function one({ agent, port }, plan) {
  const { id, name, number, method, sent, abort, pieces } = plan
  const path = `/${name}/${number}/${id}`
  const headers = method === 'POST' && pieces < 3 ? { 'Content-Length': sent.length } : {}
  const begin = id % 3 === 0 ? own.request : https.request
  const request = begin({ host: '127.0.0.1', port, agent, method, path, headers })
  const { settled } = hear(request, plan, `request ${id} (${method} ${name} ${number}, abort ${abort})`)
  const step = Math.ceil(sent.length / pieces)
  for (let at = 0; at < sent.length; at += step) request.write(sent.slice(at, at + step))
  request.end()
  return settled
}

/** What a session's end without peace does to what else is on it. */
const SESSION_ENDED = /^(ECONNRESET|EPIPE|ERR_HTTP2_ERROR)$/

function judge({ id, method, name, kind, number, abort }, settled, error) {
  const failed = settled !== 'end'
  const what = `request ${id} (${method} ${name} ${number})`
  if (abort >= 0) return
  if (kind.fails === 'always' && !failed) throw new Error(`${what} succeeded`)
  // Whatever ended the session may have been meant for another request.
  if (failed && !SESSION_ENDED.test(error?.code)) throw new Error(`${what} failed: ${error?.code} ${error?.message}`)
}

/**
 * @param {{ agent: any, remote: any, requests: number, seed: number, lanes?: number }} run
 * @returns {Promise<Record<string, number>>} how requests settled, by kind and outcome
 */
async function chaosOverHttp2({ agent, remote, requests, seed, lanes = 48 }) {
  const next = random(seed)
  const counts = {}
  let id = 0
  const lane = async () => {
    while (id < requests) {
      const plan = planned(next, ++id)
      const { settled, error } = await one({ agent, port: remote.port }, plan)
      judge(plan, settled, error)
      const label = `${plan.name} ${plan.abort >= 0 ? 'aborted: ' : ''}${settled || 'nothing'}`
      counts[label] = (counts[label] || 0) + 1
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return counts
}

module.exports = { chaosOverHttp2 }
