'use strict'

// Stands in for node:https.

const https = require('node:https')

const { Agent, originOf, refuses, settingsOf } = require('./https-agent.js')
const { standIn } = require('./namespace.js')
const { requestOver } = require('./own/request.js')
const { isSilent } = require('./tls/settings.js')

const { addRequest, getName } = Agent.prototype
const request = requestOver({
  protocol: 'https:',
  Agent,
  addRequest,
  getName,
  isSilent,
  settingsOf,
  find: originOf,
  refuses,
})

module.exports = standIn(https, Agent, request)
