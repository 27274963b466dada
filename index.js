'use strict'

const http = require('./lib/http.js')
const https = require('./lib/https.js')

module.exports = { http, https, Agent: http.Agent, HttpsAgent: https.Agent }
