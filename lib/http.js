'use strict'

// Stands in for node:http.

const http = require('node:http')

const { Agent } = require('./agent.js')
const { standIn } = require('./namespace.js')

module.exports = standIn(http, Agent)
