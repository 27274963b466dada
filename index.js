'use strict'

// Assigned one by one: that is how `import { … } from 'keepwire'` finds the names.

const {
  connections,
  explain,
  fetch,
  http,
  https,
  install,
  publicAddressesOnly,
  stats,
  totals,
} = require('./lib/load.js')

exports.http = http
exports.https = https
exports.Agent = http.Agent
exports.HttpsAgent = https.Agent
exports.connections = connections
exports.explain = explain
exports.fetch = fetch
exports.install = install.install
exports.publicAddressesOnly = publicAddressesOnly
exports.stats = stats
exports.totals = totals
exports.uninstall = install.uninstall
