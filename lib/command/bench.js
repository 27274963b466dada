'use strict'

// `keepwire bench`: the same GET by keepwire and by others, each in a process of its own, in turns: what one of them does to the
// machine's clock or caches, it does to all.

const { fork } = require('node:child_process')
const dns = require('node:dns')
const net = require('node:net')

/** Of those that may be compared with. */
const OTHERS = ['node', 'fast', 'undici', 'agentkeepalive']

const MOST_CONNECTIONS = 1000
const LEAST_SECONDS = 0.1
const MOST_SECONDS = 300

const ROUNDS = 2
/** At most: it takes no longer than a turn. */
const WARM_UP_MS = 300

/** What a process for one side is started with, beside `keepwire`. */
const SIDE = 'bench-side'

/** @param {string} address */
const isLoopback = (address) => /^(127\.|::1$|::ffff:127\.)/i.test(address)

/**
 * Whether all that a URL's host stands for is this machine.
 * @param {URL} url
 */
async function isOwnMachine({ hostname }) {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (net.isIP(host)) return isLoopback(host)
  const found = await dns.promises.lookup(host, { all: true }).catch(() => [])
  return found.length > 0 && found.every(({ address }) => isLoopback(address))
}

/**
 * @typedef {object} Round
 * @property {number} requests
 * @property {number} elapsedMs
 * @property {number} cpuMicros of all threads
 * @property {number} connections opened, in all rounds; -1: not known
 * @property {Record<string, number>} errors by code
 * @property {number} p50Micros of all rounds
 * @property {number} p99Micros
 *
 * @typedef {{ unavailable: string } | { ready: true } | Round} Answer
 *
 * @typedef {object} Row
 * @property {string} side
 * @property {string | null} unavailable why there is nothing else
 * @property {number} requests
 * @property {number} perSecond
 * @property {number} p50Ms
 * @property {number} p99Ms
 * @property {number} cpuMicros a request
 * @property {number | null} connections
 * @property {Record<string, number>} errors
 */

/** @typedef {{ resolve: (answer: any) => void, reject: (error: Error) => void }} Waiting */

/** Bun fetches packages that are not there, unless it is told not to. */
const FLAGS = process.versions.bun === undefined ? process.execArgv : [...process.execArgv, '--no-install']

class Side {
  #child
  /** @type {Waiting | null} */
  #waiting = null

  /** @param {string} name */
  constructor(name) {
    this.name = name
    /** @type {Round[]} */
    this.rounds = []
    /** @type {string | null} */
    this.unavailable = null
    this.#child = fork(process.argv[1], [SIDE], { execArgv: FLAGS, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child.on('message', (answer) => this.#settle((waiting) => waiting.resolve(answer)))
    const lost = (/** @type {unknown} */ how) => {
      this.#settle((waiting) => waiting.reject(new Error(`the process of ${name} ended (${how})`)))
    }
    this.#child.once('error', lost)
    this.#child.once('exit', (code, signal) => lost(signal ?? code))
  }

  /** @param {(waiting: Waiting) => void} settle */
  #settle(settle) {
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting !== null) settle(waiting)
  }

  /**
   * @param {object} message
   * @returns {Promise<any>}
   */
  ask(message) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.send(message)
    })
  }

  end() {
    this.#child.removeAllListeners()
    this.#child.kill('SIGKILL')
  }
}

/**
 * @param {Side} side
 * @returns {Row}
 */
function rowOf({ name, rounds, unavailable }) {
  const sum = (/** @type {(round: Round) => number} */ of) => rounds.reduce((total, round) => total + of(round), 0)
  const requests = sum((round) => round.requests)
  const last = rounds.at(-1)
  /** @type {Record<string, number>} */
  const errors = {}
  for (const round of rounds) {
    for (const [code, count] of Object.entries(round.errors)) errors[code] = (errors[code] ?? 0) + count
  }
  return {
    side: name,
    unavailable,
    requests,
    perSecond: requests === 0 ? 0 : (requests / sum((round) => round.elapsedMs)) * 1000,
    p50Ms: (last?.p50Micros ?? 0) / 1000,
    p99Ms: (last?.p99Micros ?? 0) / 1000,
    cpuMicros: requests === 0 ? 0 : sum((round) => round.cpuMicros) / requests,
    connections: last === undefined || last.connections < 0 ? null : last.connections,
    errors,
  }
}

/**
 * @param {URL} url
 * @param {object} options
 * @param {number} options.connections
 * @param {number} options.durationMs of each side
 * @param {string[]} options.others
 * @param {Record<string, unknown>} options.agentOptions
 * @param {(line: string) => void} options.tell what is under way
 */
async function bench(url, { agentOptions, connections, durationMs, others, tell }) {
  const sides = ['keepwire', ...others].map((name) => new Side(name))
  try {
    for (const side of sides) {
      tell(`starting ${side.name}`)
      const started = await side.ask({ side: side.name, url: url.href, connections, agentOptions })
      if ('unavailable' in started) side.unavailable = started.unavailable
      else await side.ask({ durationMs: Math.min(WARM_UP_MS, durationMs / ROUNDS), isWarmUp: true })
    }
    const able = sides.filter(({ unavailable }) => unavailable === null)
    for (let round = 1; round <= ROUNDS; round += 1) {
      for (const side of able) {
        tell(`${side.name}, ${Math.round(durationMs / ROUNDS / 100) / 10} s (${round} of ${ROUNDS})`)
        side.rounds.push(await side.ask({ durationMs: durationMs / ROUNDS }))
      }
    }
  } finally {
    for (const side of sides) side.end()
  }
  const rows = sides.map(rowOf)
  const answered = rows.some(({ requests }) => requests > 0)
  const failed = rows.some(({ errors }) => Object.keys(errors).length > 0)
  return {
    // What is shown may be passed on: neither credentials nor a query.
    url: `${url.origin}${url.pathname}`,
    connections,
    secondsEach: durationMs / 1000,
    rows,
    exitCode: answered ? Number(failed) : 2,
  }
}

/** @typedef {Awaited<ReturnType<typeof bench>>} BenchResult */

module.exports = { bench, isOwnMachine, LEAST_SECONDS, MOST_CONNECTIONS, MOST_SECONDS, OTHERS, SIDE }
