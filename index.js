'use strict'

const http = require('./lib/http.js')

module.exports = { http, Agent: http.Agent }
