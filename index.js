'use strict'

const { fetch } = require('./lib/fetch.js')
const http = require('./lib/http.js')

module.exports = { http, Agent: http.Agent, fetch }
