'use strict'

// Assigned one by one: that is how `import { … } from 'keepwire'` finds the names.

const { explain } = require('./lib/api/explain.js')
const { fetch } = require('./lib/fetch/index.js')
const http = require('./lib/http.js')
const https = require('./lib/https.js')
const { install, uninstall } = require('./lib/api/install.js')
const { stats } = require('./lib/agent/stats.js')

exports.http = http
exports.https = https
exports.Agent = http.Agent
exports.HttpsAgent = https.Agent
exports.explain = explain
exports.fetch = fetch
exports.install = install
exports.stats = stats
exports.uninstall = uninstall
