'use strict'

// Assigned one by one: that is how `import { … } from 'keepwire'` finds the names.

const { explain, fetch, http, https, install, stats } = require('./lib/load.js')

exports.http = http
exports.https = https
exports.Agent = http.Agent
exports.HttpsAgent = https.Agent
exports.explain = explain
exports.fetch = fetch
exports.install = install.install
exports.stats = stats
exports.uninstall = install.uninstall
