'use strict'

// Stands in for node:http.

const http = require('node:http')

const { Agent } = require('../agent/agent.js')
const { RuntimeAgent } = require('../runtime/genuine.js')
const { standIn } = require('./stand-in.js')
const { merge } = require('../common/options/merge.js')
const { kProxy } = require('../common/proxies/option.js')
const { requestOver } = require('../fast-request/index.js')

/** All connections of one name are alike. */
const SETTINGS = Object.freeze({})

const request = requestOver({
  protocol: 'http:',
  Agent,
  addRequest: Agent.prototype.addRequest,
  getName: RuntimeAgent.prototype.getName,
  isSilent: () => true,
  settingsOf: () => SETTINGS,
  find: (agent, origins, { name, options }) =>
    origins.get(name) ?? origins.add(name, merge(agent.options, options), agent[kProxy], ''),
  refuses: () => false,
})

module.exports = standIn(http, Agent, request)
