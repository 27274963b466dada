'use strict'

const { explain } = require('./lib/explain.js')
const { fetch } = require('./lib/fetch.js')
const http = require('./lib/http.js')
const https = require('./lib/https.js')
const { stats } = require('./lib/stats.js')

module.exports = { http, https, Agent: http.Agent, HttpsAgent: https.Agent, explain, fetch, stats }
