'use strict'

// Stands in for node:https.

const https = require('node:https')

const { Agent } = require('./https-agent.js')
const { standIn } = require('./namespace.js')

module.exports = standIn(https, Agent)
