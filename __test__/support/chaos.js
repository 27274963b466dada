'use strict'

// Requests to a server that misbehaves in every way it can, from a seeded generator. Each must settle exactly once, with
// its own body or with an error where the server (or the caller, by aborting) is to blame, never with another's body.

const { bodyOf } = require('./chaos-bodies')
const { ALSO_FETCHED, FETCH_KINDS, fetchOne, portFor } = require('./chaos-fetch')
const { hear } = require('./chaos-hearing')
const { chosenName, isChosen, looksUp, replaceLookup } = require('./chaos-lookups')
const { Writes } = require('./chaos-writes')
const { threadPort } = require('../../lib/bridge/port.js')
const { Exchange } = require('../../lib/exchange/exchange.js')
const { random, request: begin } = require('./client')
const { baseline, isNode } = require('./runtime')

const SHORT = 60
/** Deadlines of requests that are answered within a fifth of it, or never. */
const HURRY = { headersTimeout: 1_000, bodyTimeout: 1_000 }

/** `fails`: always, never, or maybe (a reset may overtake its response). */
const KINDS = {
  length: { weight: 8, fails: 'never', length: (n) => n },
  chunked: { weight: 6, fails: 'never', length: (n) => n },
  close: { weight: 3, fails: 'never', length: (n) => n },
  early: { weight: 3, fails: 'never', length: (n) => n, method: 'POST' },
  trickle: { weight: 2, fails: 'never' },
  flood: { weight: 2, fails: 'never' },
  // As many bytes of framing as there may be.
  bytes: { weight: 2, fails: 'never' },
  lines: { weight: 2, fails: 'never' },
  blank: { weight: 2, fails: 'never' },
  // Framing without end.
  zeros: { weight: 1, fails: 'always' },
  extension: { weight: 1, fails: 'always' },
  'empty-lines': { weight: 1, fails: 'always' },
  // Its own response is whole; what follows is an error of the runtime's parser, told before the 'end'.
  junk: { weight: 4, fails: 'maybe', errorBeforeEnd: true },
  'fin-after': { weight: 4, fails: 'never' },
  'reset-after': { weight: 2, fails: 'maybe' },
  reset: { weight: 4, fails: 'always' },
  fin: { weight: 4, fails: 'always' },
  drop: { weight: 2, fails: 'always' },
  garbage: { weight: 2, fails: 'always' },
  conflict: { weight: 1, fails: 'always' },
  stall: { weight: 2, fails: 'always', aborted: true },
}

/** What can happen to TLS alone. */
const SECURE_KINDS = {
  'record-reset': { weight: 4, fails: 'always' },
  'record-fin': { weight: 4, fails: 'always' },
  'bare-fin-after': { weight: 4, fails: 'never' },
  'record-junk': { weight: 4, fails: 'never' },
  'record-junk-later': { weight: 2, fails: 'never' },
  'record-garbage': { weight: 4, fails: 'always' },
  // Records that are no data, or a byte of it: some, or without end.
  ...(isNode && {
    'record-nothing': { weight: 3, fails: 'never' },
    'record-noise': { weight: 1, fails: 'always', aborted: true },
  }),
  handshake: { weight: 2, fails: 'always', isCut: true },
  // Whoever lies between ends some connections while they shake hands.
  alert: { weight: 3, fails: 'maybe', isAlerted: true },
}

/** Of requests with deadlines that are nearer than others': each has its own, whatever was asked for on its connection before. */
const HURRIED_KINDS = {
  paced: { weight: 3, fails: 'never', isHurried: true },
  silent: { weight: 1, fails: 'always', isHurried: true, code: 'ERR_KEEPWIRE_HEADERS_TIMEOUT' },
  halting: { weight: 1, fails: 'always', isHurried: true, code: 'ERR_KEEPWIRE_BODY_TIMEOUT' },
}

/** @param {Record<string, { weight: number }>} kinds */
const lottery = (kinds) =>
  Object.entries(kinds).flatMap(([name, kind]) => Array.from({ length: kind.weight }, () => ({ name, kind })))

const OURS = baseline ? {} : FETCH_KINDS
const LOTTERIES = {
  http: lottery({ ...KINDS, ...OURS }),
  https: lottery({ ...KINDS, ...OURS, ...SECURE_KINDS }),
}

const HURRIED = lottery(HURRIED_KINDS)

/** When a request is given up that is not at some time: in the middle of what the network does. */
const MOMENTS = ['finish', 'response', 'data', 'end']

/** Of requests to where names make no difference, so many are made by a name. */
const NAMED = 0.1

function planned(next, id, tickets, hasNames) {
  const { name, kind: given } = tickets[Math.floor(next() * tickets.length)]
  const { host, ...named } = looksUp && hasNames && next() < NAMED ? chosenName(next) : {}
  const isNamed = host !== undefined && !given.fetched && !given.isCut && !given.isAlerted && !given.isHurried
  const kind = isNamed && named.fails ? { ...given, ...named, fails: 'always' } : given
  const number = Math.floor(next() * (next() < 0.1 ? 100_000 : 400))
  const method = kind.method ?? (next() < 0.3 ? 'POST' : 'GET')
  const sent = method === 'POST' ? bodyOf(id, Math.floor(next() * (next() < 0.1 ? 300_000 : 2_000))) : ''
  const expected = bodyOf(id, kind.length ? number : SHORT)
  const abort = kind.aborted ? next() * 8 : next() < 0.04 ? next() * 3 : -1
  const moment = next() < 0.04 ? MOMENTS[Math.floor(next() * MOMENTS.length)] : undefined
  const fetched = kind.fetched || (!isNamed && !kind.isHurried && !baseline && ALSO_FETCHED.has(name) && next() < 0.15)
  return {
    id,
    name,
    kind,
    number,
    method,
    sent,
    expected,
    abort,
    moment: fetched ? undefined : moment,
    fetched,
    host: isNamed ? host : '127.0.0.1',
    pieces: next(),
  }
}

/**
 * Sends one planned request.
 * @returns {Promise<{ settled: string, error: any }>} rejects if it settles wrongly
 */
function one(agent, remote, plan) {
  const { id, name, kind, host, number, method, sent, abort, moment, pieces } = plan
  const send = beginning(id, agent)
  const request = send({
    host,
    // Certificates are for no other name.
    ...(isChosen(host) ? { servername: 'localhost' } : {}),
    port: portFor(kind, remote),
    agent,
    method,
    path: `/${name}/${number}/${id}`,
    headers: method === 'POST' ? { 'Content-Length': sent.length } : {},
  })
  const what = `request ${id} (${method} ${name} ${number} at ${host}, abort ${moment ?? abort})`
  const { settled, wrong } = hear(request, plan, what, () => writes.areSent)
  const writes = new Writes(sent, pieces, wrong)
  writes.send(request)
  return settled
}

/** Every third request is our own, which waits and is sent in its own way. @param {number} id @param {any} agent */
function beginning(id, agent) {
  if (baseline || id % 3 !== 0) return begin
  const { http, https } = require('../..')
  return agent.protocol === 'https:' ? https.request : http.request
}

/** Requests that this thread carries itself, and those that the I/O thread carries. */
const FEW = { width: 5, length: 300 }
const MANY = 1_000

/** Puts a command that makes no sense among those of the requests that begin now; it is refused by itself. */
function spoilBatch() {
  return new Promise((resolve, reject) => {
    const port = threadPort()
    const exchange = new Exchange()
    exchange.onError = (_flags, _errno, text) => {
      port.release(exchange.id)
      if (text.startsWith('ERR_KEEPWIRE_ENGINE')) resolve('refused')
      else reject(new Error(`a command that makes no sense came to ${text}`))
    }
    exchange.id = port.open(exchange)
    port.submission.fetch(exchange.id, 0, 0, 'GET\0no url')
  })
}

/**
 * @param {{ agent: any, hurried?: any, remote: any, requests: number, seed: number, isProxied?: boolean, lanes?: number, onProgress?: (done: number) => void }} run
 *   `hurried`: an agent with the deadlines HURRY; `remote`: support/chaos-peer.js, over what the agent speaks; `isProxied`: through a
 *   proxy, which looks names up in its own way
 * @returns {Promise<Record<string, number>>} how requests settled, by kind and outcome
 */
async function chaos({ agent, hurried, remote, requests, seed, isProxied = false, lanes = 48, onProgress }) {
  const next = random(seed)
  const usual = agent.protocol === 'https:' ? LOTTERIES.https : LOTTERIES.http
  const many = { width: lanes, length: MANY, tickets: usual }
  const few = { ...FEW, tickets: hurried === undefined ? usual : [...usual, ...HURRIED] }
  const counts = {}
  let id = 0
  const lane = async (/** @type {number} */ until, /** @type {any[]} */ tickets) => {
    while (id < until) {
      const plan = planned(next, ++id, tickets, !isProxied)
      const spoiled = !baseline && plan.id % 20 === 0 ? spoilBatch() : undefined
      const { settled, error } = await (plan.fetched ? fetchOne : one)(
        plan.kind.isHurried ? hurried : agent,
        remote,
        plan,
      )
      await spoiled
      const raced = judge(plan, settled, error)
      const label = `${plan.fetched ? 'fetch ' : ''}${plan.name} ${isGivenUp(plan) ? 'aborted: ' : ''}${raced ? 'raced: ' : ''}${settled || 'nothing'}`
      counts[label] = (counts[label] || 0) + 1
      onProgress?.(id)
    }
  }
  const restore = replaceLookup()
  try {
    for (let phase = 0; id < requests; phase += 1) {
      // Few at a time are carried by this thread itself, many by the I/O thread.
      const { width, length, tickets } = phase % 2 === 0 ? few : many
      const until = Math.min(requests, id + length)
      await Promise.all(Array.from({ length: width }, () => lane(until, tickets)))
    }
  } finally {
    restore()
  }
  return counts
}

/** @param {{ abort: number, moment: string | undefined }} plan */
const isGivenUp = ({ abort, moment }) => abort >= 0 || moment !== undefined

/** What ends a connection that a POST was on its way on: EPIPE if it came in pieces. */
const CONNECTION_ENDED = /^(ECONNRESET$|EPIPE$|UND_ERR_SOCKET$|ERR_SSL_|EPROTO$)/

/** Returns whether the connection ended while a POST was on its way: nobody can tell then whether it was read (I5). */
function judge(plan, settled, error) {
  const failed = settled !== 'end'
  const what = `request ${plan.id} (${plan.method} ${plan.name} ${plan.number} at ${plan.host})`
  // An alert says nothing about what the server could do: no fetch is refused because of one.
  if (plan.kind.isAlerted && error?.code === 'ERR_INVALID_ARG_VALUE') throw new Error(`${what}: ${error.message}`)
  if (isGivenUp(plan) || plan.kind.fails === 'maybe') return false
  if (plan.kind.fails === 'always' && !failed) throw new Error(`${what} succeeded`)
  const { fails, code } = plan.kind
  if (!failed || (fails === 'always' && (code === undefined || error.code === code))) return false
  if (plan.method === 'POST' && CONNECTION_ENDED.test(error?.code)) return true
  throw new Error(`${what} failed: ${error?.code} ${error?.message}`)
}

module.exports = { chaos, HURRY }
