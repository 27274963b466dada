'use strict'

// What the doors open, loaded when a door asks for it.

module.exports = {
  /** @type {typeof import('./agent/connections.js').connections} */
  connections(agent) {
    return require('./agent/connections.js').connections(agent)
  },
  get command() {
    return require('./command/main.js')
  },
  get dashboard() {
    return require('./dashboard/index.js')
  },
  get explain() {
    return require('./api/explain.js').explain
  },
  get fetch() {
    return require('./fetch/index.js').fetch
  },
  get http() {
    return require('./api/http.js')
  },
  get https() {
    return require('./api/https.js')
  },
  get install() {
    return require('./api/install.js')
  },
  get otel() {
    return { ...require('./otel/producer.js'), ...require('./otel/spans.js') }
  },
  get prometheus() {
    return require('./metrics/index.js')
  },
  get publicAddressesOnly() {
    return require('./common/addresses.js').publicAddressesOnly
  },
  get stats() {
    return require('./agent/stats.js').stats
  },
  /** @type {typeof import('./agent/totals.js').totals} */
  totals(options) {
    return require('./agent/totals.js').totals(options)
  },
}
