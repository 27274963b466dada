'use strict'

// Warnings about uses that no agent can make good, each once per thread: an agent for each request, and bodies that are
// not read while other requests wait for their connections. `warnings: false` turns them off for an agent.

const path = require('node:path')

const { now, setTimeout } = require('../runtime/captured.js')

/** @typedef {import('../exchange/exchange.js').Exchange} Exchange */
/** @typedef {import('../agent/origins.js').Origins} Origins */

/** So many agents in a row, made at the same place, with one request each. */
const LONERS = 10
/** A request that waits so long behind bodies that nobody reads is not served soon. */
const PATIENCE_MS = 1000
/** The folder of all modules of ours. */
const OURS = path.join(__dirname, '..')
const FRAMES = 4

let warnsOfAgents = true
let warnsOfBodies = true
/** Where agents were made. @type {WeakMap<object, string>} */
const sites = new WeakMap()
/** @type {{ origins: WeakRef<Origins>, site: string }[]} */
let loners = []
let isWatching = false

/** Codes of warnings that this thread gave. @type {Set<string>} */
const given = new Set()

/**
 * @param {string} code
 * @param {string} message
 * @param {string} [detail]
 */
function warn(code, message, detail) {
  given.add(code)
  process.emitWarning(message, { type: 'KeepwireWarning', code, detail })
}

/** Reasons that were told of. @type {Set<string>} */
const told = new Set()

/** @type {Record<string, (what: string | undefined) => string>} */
const FALLBACKS = {
  'sockets-replaced': (what) => `${what} has been replaced`,
  'requests-replaced': () => 'http.ClientRequest has been replaced',
  'tls-context': () => 'tls.createSecureContext has been replaced',
  'create-connection': () => 'createConnection of http.Agent or https.Agent has been replaced',
  'create-socket': () => 'createSocket of http.Agent or https.Agent has been replaced',
}

/**
 * A request falls back to the runtime's sockets for what somebody has done to the whole process: told once a reason.
 * @param {any} agent null: nobody's
 * @param {string} reason
 * @param {string | undefined} what was replaced
 */
function warnOfFallback(agent, reason, what) {
  if (told.has(reason) || agent?.options.warnings === false) return
  told.add(reason)
  warn(
    'KEEPWIRE_WARN_FALLBACK',
    `${FALLBACKS[reason](what)}, as mocks and tracers do: requests fall back to the runtime's sockets, where whoever did ` +
      'so hears of them, and keepwire does not carry them. A wrapper that only looks on can say so: the function that it ' +
      'wraps, in its property __original.',
    `Reason in explain() and stats(): ${reason}`,
  )
}

/** @param {string} name of the class of the dispatcher that was put in place of undici's own */
function warnOfDispatcher(name) {
  if (told.has('dispatcher-replaced')) return
  told.add('dispatcher-replaced')
  warn(
    'KEEPWIRE_WARN_FALLBACK',
    `undici's global dispatcher has been replaced (${name}), as mocks and proxies do: fetches without an agent fall back to ` +
      "the runtime's own fetch, which heeds it, and keepwire does not carry them.",
    'Reason in stats(): dispatcher-replaced',
  )
}

/** Somebody's fetch was there before install({ fetch: true }). */
function warnOfFetch() {
  if (told.has('fetch-replaced')) return
  told.add('fetch-replaced')
  warn(
    'KEEPWIRE_WARN_FALLBACK',
    'globalThis.fetch had been replaced before keepwire came, as mocks and tracers do: fetches go through what was there, ' +
      'and keepwire does not carry them. Who wraps it after keepwire has both.',
  )
}

/**
 * @param {string} name of the module
 * @param {any} agent its globalAgent
 */
function warnOfGlobalAgent(name, agent) {
  if (told.has(name)) return
  told.add(name)
  warn(
    'KEEPWIRE_WARN_GLOBAL_AGENT',
    `${name}.globalAgent was replaced by somebody's own agent (${agent?.constructor?.name}) before keepwire came: requests ` +
      'that name no agent go over that one, and not over keepwire.',
  )
}

/** @param {any} agent just made */
function noteCreation(agent) {
  const { keepAlive, shared, warnings } = agent.options
  // Agents that share lose nothing by it.
  if (!warnsOfAgents || warnings === false || keepAlive !== true || shared === true) return
  const site = creationSite()
  if (site !== undefined) sites.set(agent, site)
}

/**
 * Where the program is that makes an agent.
 * @returns {string | undefined} undefined: nobody can tell, since the program has its own way with stacks
 */
function creationSite() {
  const limit = Error.stackTraceLimit
  // False where `Error` is frozen.
  const isRaised = Reflect.set(Error, 'stackTraceLimit', 2 * FRAMES)
  try {
    const lines = String(new Error().stack).split('\n').slice(1)
    const site = lines.filter((line) => !line.includes(OURS)).slice(0, FRAMES)
    return site.length > 0 ? site.join('\n') : undefined
  } catch {
    // Error.prepareStackTrace is the program's, and may throw.
    return undefined
  } finally {
    if (isRaised) Error.stackTraceLimit = limit
  }
}

/** @param {Origins} origins of an agent that has its first request */
function noteAgent(origins) {
  if (!warnsOfAgents) return
  const site = sites.get(origins.agent)
  if (site === undefined) return
  // An agent that was collected in the meantime has had its one request.
  const isLoner = (/** @type {{ origins: WeakRef<Origins>, site: string }} */ other) =>
    other.site === site && (other.origins.deref()?.requests ?? 1) <= 1
  loners = loners.every(isLoner) ? loners : []
  loners.push({ origins: new WeakRef(origins), site })
  if (loners.length < LONERS) return
  warnsOfAgents = false
  loners = []
  warn(
    'KEEPWIRE_WARN_AGENT_PER_REQUEST',
    `${LONERS} agents made at the same place have had one request each: connections are kept by the agent, so none was ` +
      'reused. Make one agent and use it for all requests.',
    `The agents were made\n${site}`,
  )
}

/** @param {Exchange} exchange has just begun to wait */
function watchQueue(exchange) {
  if (!warnsOfBodies || isWatching || exchange.agent.options.warnings === false) return
  isWatching = true
  const since = now()
  /** @type {any} */
  const timer = setTimeout(look, PATIENCE_MS, exchange, since)
  timer.unref()
}

/**
 * @param {Exchange} exchange
 * @param {number} since
 */
function look(exchange, since) {
  isWatching = false
  if (!warnsOfBodies || exchange.wait === null) return
  const { connections, label, queue } = exchange.origin
  const unread = []
  for (const connection of connections) {
    const req = connection.exchange?.req
    if (connection.isGone || !req) continue
    if (!isUnread(req.res)) {
      // Somebody makes progress: look again later.
      watchQueue(exchange)
      return
    }
    unread.push(`${req.method} ${req.path}`)
  }
  if (unread.length === 0) return
  warnsOfBodies = false
  const waited = Math.round(now() - since)
  warn(
    'KEEPWIRE_WARN_UNREAD_BODY',
    `${queue.size} requests to ${label} have waited for ${waited} ms, because the responses on all of its connections are ` +
      `not read: ${unread.slice(0, FRAMES).join(', ')}. Read them, or call resume() or destroy() on them.`,
  )
}

/** @param {any} res */
function isUnread(res) {
  return Boolean(res) && !res.destroyed && !res.readableEnded && res.readableFlowing !== true && !res._dumped
}

module.exports = {
  given,
  noteAgent,
  noteCreation,
  warnOfDispatcher,
  warnOfFallback,
  warnOfFetch,
  warnOfGlobalAgent,
  watchQueue,
}
