'use strict'

// `test(sentence, body)`: every test gets a scope that makes its agents and servers, and that fails the test if one of
// their connections, sockets or timers outlives it. Only what node:test offers on every runtime is used.

const assert = require('node:assert')
const { test: nodeTest } = require('node:test')

const { Peer } = require('./peer')
const { startRemote } = require('./remote')
const { baseline, isBun } = require('./runtime')
const { schemes, trusting } = require('./schemes')
const { turns } = require('./wait')

const LEAK_DEADLINE_MS = 30_000
const WATCHED_RESOURCES = /^(TCP|Pipe|Shutdown|Process|GetAddrInfo|Timeout$|TLS|Worker|MessagePort$|HTTP)/

// The runtimes open these at their first use; that is nobody's leak.
for (const stream of ['stdin', 'stdout', 'stderr']) process[stream]

class Scope {
  #scheme
  #identity
  #agents = []
  #peers = []
  #remotes = []
  #deferred = []

  /**
   * @param {import('./schemes').Scheme} [scheme] of agents and servers
   * @param {import('./listener').Identity} [identity] of servers that speak TLS
   */
  constructor(scheme = schemes.http, identity = undefined) {
    this.#scheme = scheme
    this.#identity = identity
  }

  get scheme() {
    return this.#scheme.name
  }

  get identity() {
    return this.#identity
  }

  /** An agent under test, destroyed at the end of the test. */
  agent(options) {
    return this.adopt(new this.#scheme.Agent(trusting(options, this.#identity)))
  }

  /** The runtime's own agent, for comparison. */
  runtimeAgent(options) {
    return this.adopt(new this.#scheme.RuntimeAgent(trusting(options, this.#identity)))
  }

  adopt(agent) {
    this.#agents.push(agent)
    return agent
  }

  /** A server on loopback; see support/peer.js. */
  async peer(handlers, listenOptions) {
    const peer = new Peer(handlers, this.#identity)
    this.#peers.push(peer)
    await peer.listen(listenOptions)
    return peer
  }

  /** A server in a process of its own; see support/remote-peer.js. */
  async remote(program) {
    const remote = await startRemote(program, { identity: this.#identity })
    this.#remotes.push(remote)
    return remote
  }

  /** Runs before the agents are destroyed, last one first. */
  defer(cleanUp) {
    this.#deferred.push(cleanUp)
  }

  async end(failed) {
    for (const cleanUp of this.#deferred.reverse()) await cleanUp()
    for (const agent of this.#agents) agent.destroy()
    if (!failed) {
      for (const peer of this.#peers) await peer.nobodyConnected(LEAK_DEADLINE_MS)
    }
    for (const peer of this.#peers) await peer.close()
    for (const remote of this.#remotes) {
      if (!failed) await remote.nobodyConnected(LEAK_DEADLINE_MS)
      await remote.stop()
    }
  }
}

function countResources() {
  const counts = {}
  if (typeof process.getActiveResourcesInfo !== 'function') return counts
  for (const resource of process.getActiveResourcesInfo()) {
    if (WATCHED_RESOURCES.test(resource)) counts[resource] = (counts[resource] || 0) + 1
  }
  return counts
}

function leaked(before) {
  const now = countResources()
  return Object.keys(now)
    .filter((resource) => now[resource] > (before[resource] || 0))
    .map((resource) => `${resource} ×${now[resource] - (before[resource] || 0)}`)
}

async function nothingLeaked(before) {
  const deadline = Date.now() + LEAK_DEADLINE_MS
  let rest = leaked(before)
  while (rest.length > 0 && Date.now() < deadline) {
    await turns(5)
    rest = leaked(before)
  }
  assert.deepStrictEqual(rest, [], 'the test leaves resources behind')
}

function watchdog(ms, body) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the test did not end within ${ms} ms`)), ms)
  })
  return Promise.race([body(), late]).finally(() => clearTimeout(timer))
}

/**
 * @param {string} sentence what holds
 * @param {{ skip?: string | false, ours?: string, timeout?: number, leaks?: boolean, scheme?: 'http' | 'https' }} [options]
 *   `ours`: why the runtime's own agent does not do this (the test is skipped on the baseline); `leaks: false`: no resource
 *   check; `scheme`: of the scope's agents and servers
 * @param {(scope: Scope) => Promise<void>} body
 */
function test(sentence, options, body) {
  if (typeof options === 'function') return test(sentence, {}, options)
  const timeout = options.timeout || 60_000
  const skip = options.skip || (baseline && options.ours ? `the runtime's own agent: ${options.ours}` : false)
  // Bun before 1.4 does not look at the option.
  const declare = skip && isBun ? nodeTest.skip : nodeTest
  return declare(sentence, { skip, timeout: timeout + 30_000 }, async () => {
    const scheme = schemes[options.scheme ?? 'http']
    const scope = new Scope(scheme, await scheme.identity())
    const before = countResources()
    let failed = true
    try {
      await watchdog(timeout, () => body(scope))
      failed = false
    } finally {
      await scope.end(failed)
    }
    if (options.leaks !== false) await nothingLeaked(before)
  })
}

/** The same test over http and over https: what holds does not depend on the scheme. */
function testBoth(sentence, options, body) {
  if (typeof options === 'function') return testBoth(sentence, {}, options)
  for (const scheme of /** @type {const} */ (['http', 'https']))
    test(`${scheme}: ${sentence}`, { ...options, scheme }, body)
}

module.exports = { Scope, test, testBoth }
