'use strict'

// What the doors open: what agents are made of at once, the rest when somebody asks for it.

const { Agent } = require('./agent/agent.js')
const { publicAddressesOnly } = require('./common/addresses.js')
const { lazy } = require('./runtime/lazy.js')

const connections = lazy(() => require('./agent/connections.js'))
const explaining = lazy(() => require('./api/explain.js'))
const fetching = lazy(() => require('./fetch/index.js'))
const http = lazy(() => require('./api/http.js'))
const https = lazy(() => require('./api/https.js'))
const installing = lazy(() => require('./api/install.js'))
const secure = lazy(() => require('./agent/https-agent.js'))
const statistics = lazy(() => require('./agent/stats.js'))
const totals = lazy(() => require('./agent/totals.js'))

/**
 * @param {any} input
 * @param {any} [init]
 */
function fetch(input, init) {
  return fetching().fetch(input, init)
}

/**
 * A property that is looked for when somebody asks for it, and may be replaced.
 * @param {() => unknown} get
 * @param {object} on
 * @param {string} name
 */
function show(get, on, name) {
  const set = (/** @type {unknown} */ value) => {
    Object.defineProperty(on, name, { value, writable: true, enumerable: true, configurable: true })
  }
  Object.defineProperty(on, name, { get, set, enumerable: true, configurable: true })
}

fetch.withDefaults = (/** @type {any} */ defaults) => fetching().fetch.withDefaults(defaults)
show(() => fetching().fetch.HttpError, fetch, 'HttpError')

module.exports = {
  Agent,
  fetch,
  publicAddressesOnly,
  show,
  /** @type {typeof import('./agent/connections.js').connections} */
  connections(agent) {
    return connections().connections(agent)
  },
  /** @type {typeof import('./api/explain.js').explain} */
  explain(req) {
    return explaining().explain(req)
  },
  /** @type {typeof import('./api/install.js').install} */
  install(options) {
    installing().install(options)
  },
  /** @type {typeof import('./agent/stats.js').stats} */
  stats() {
    return statistics().stats()
  },
  /** @type {typeof import('./agent/totals.js').totals} */
  totals(options) {
    return totals().totals(options)
  },
  uninstall() {
    installing().uninstall()
  },
  get HttpsAgent() {
    return secure().Agent
  },
  get http() {
    return http()
  },
  get https() {
    return https()
  },
  get command() {
    return require('./command/main.js')
  },
  get dashboard() {
    return require('./dashboard/index.js')
  },
  get otel() {
    return { ...require('./otel/producer.js'), ...require('./otel/spans.js') }
  },
  get prometheus() {
    return require('./metrics/index.js')
  },
}
