'use strict'

// Whether the program has told the runtime's own fetch where its requests go, for all of them: to a mock or over a proxy, by
// undici's setGlobalDispatcher(), Node's http.setGlobalProxyFromEnv() or NODE_USE_ENV_PROXY. Fetches without an agent are then
// the runtime's own, which heeds it.

const { types } = require('node:util')

const native = require('../bridge/native.js')
const { warnOfDispatcher } = require('../common/warnings.js')
const { httpOrigin, httpsOrigin } = require('./default-agents.js')
const { targetOf } = require('./target.js')
const { isNode } = require('./platform.js')

const DISPATCHER_REPLACED = 'dispatcher-replaced'

/** Where Node's own fetch looks for it: undici 8 does in a place of its own. */
const PLACE = Symbol.for(`undici.globalDispatcher.${Number.parseInt(process.versions.undici ?? '', 10) >= 8 ? 2 : 1}`)

/** What undici puts into the options of an agent that was given none. */
const DEFAULTS = new Map([
  ['maxOrigins', Number.POSITIVE_INFINITY],
  ['maxRedirections', 0],
])

/** @type {unknown} */
let seen
let isReplaced = false

/** Asked for each fetch. */
function isDispatcherReplaced() {
  if (!isNode) return false
  const dispatcher = /** @type {any} */ (globalThis)[PLACE]
  if (dispatcher !== seen) {
    seen = dispatcher
    isReplaced = dispatcher !== undefined && !isUsual(dispatcher)
  }
  return isReplaced
}

/**
 * Whether a dispatcher is what undici makes for itself, the runtime's or one from npm: an agent without options. One that reads
 * differently is taken for a replacement, which costs speed and nothing else.
 * @param {any} dispatcher
 */
function isUsual(dispatcher) {
  // What interceptors have been put around is one.
  if (types.isProxy(dispatcher)) return false
  const parent = Object.getPrototypeOf(Object.getPrototypeOf(dispatcher) ?? {})
  if (dispatcher.constructor?.name !== 'Agent' || parent?.constructor?.name !== 'DispatcherBase') return false
  if (Object.hasOwn(dispatcher, 'dispatch') || !/^function defaultFactory\b/.test(own(dispatcher, 'factory')))
    return false
  const options = own(dispatcher, 'options')
  if (typeof options !== 'object' || options === null) return false
  return Object.entries(options).every(([name, value]) => value === undefined || value === DEFAULTS.get(name))
}

/**
 * @param {any} dispatcher
 * @param {string} name of a symbol of undici's
 */
function own(dispatcher, name) {
  const symbol = Object.getOwnPropertySymbols(dispatcher).find(({ description }) => description === name)
  return symbol === undefined ? undefined : dispatcher[symbol]
}

/**
 * Whether a fetch is for the global dispatcher: it names no agent, proxy or client that stand above it.
 * @param {any} input
 * @param {import('./init.js').Init | null} init
 */
function isDispatched(input, init) {
  if (!isDispatcherReplaced() || typeof init?.client === 'string' || init?.proxy) return false
  const target = targetIn(input)
  const agent = init?.agent
  const chosen = typeof agent === 'function' && target !== null ? agent(new URL(target.href)) : agent
  if (chosen !== undefined && chosen !== null) return false
  warnOfDispatcher(/** @type {any} */ (seen)?.constructor?.name)
  if (target !== null) count(target)
  return true
}

/**
 * @param {any} input
 * @returns {import('./target.js').Target | null} null: the runtime's own fetch says what is wrong with it
 */
function targetIn(input) {
  try {
    return targetOf(typeof input === 'string' ? input : input instanceof URL ? input.href : input.url)
  } catch {
    return null
  }
}

/** @param {import('./target.js').Target} target */
function count(target) {
  const request = /** @type {any} */ ({ target, method: 'GET', fields: [] })
  const { key, origins } = target.protocol === 'https:' ? httpsOrigin(request) : httpOrigin(target)
  origins.fallbackReasons.set(DISPATCHER_REPLACED, (origins.fallbackReasons.get(DISPATCHER_REPLACED) ?? 0) + 1)
  native.note(origins.id, key, true, DISPATCHER_REPLACED)
}

module.exports = { isDispatched }
