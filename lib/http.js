'use strict'

// Stands in for node:http.

const http = require('node:http')

const { Agent } = require('./agent.js')
const { RuntimeAgent } = require('./genuine.js')
const { standIn } = require('./namespace.js')
const { merge } = require('./options.js')
const { requestOver } = require('./own/request.js')

/** All connections of one name are alike. */
const SETTINGS = Object.freeze({})

const request = requestOver({
  protocol: 'http:',
  Agent,
  addRequest: Agent.prototype.addRequest,
  getName: RuntimeAgent.prototype.getName,
  isSilent: () => true,
  settingsOf: () => SETTINGS,
  find: (agent, origins, { name, options }) => origins.get(name) ?? origins.add(name, merge(agent.options, options)),
  refuses: () => false,
})

module.exports = standIn(http, Agent, request)
