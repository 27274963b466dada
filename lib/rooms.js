'use strict'

// What the doors open, loaded when a door asks for it.

module.exports = {
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
  get stats() {
    return require('./agent/stats.js').stats
  },
}
