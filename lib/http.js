'use strict'

// Stands in for node:http.

const http = require('node:http')

const { Agent } = require('./agent.js')
const { standIn } = require('./namespace.js')
const { ownRequest } = require('./own/request.js')

module.exports = standIn(http, Agent, ownRequest)
