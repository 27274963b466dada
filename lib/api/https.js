'use strict'

// Stands in for node:https.

const { Agent, originOf, refuses, settingsOf } = require('../agent/https-agent.js')
const { standIn } = require('./stand-in.js')
const { requestOver } = require('../fast-request/index.js')
const { https } = require('../runtime/late.js')
const { isSilent } = require('../tls/settings.js')

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

module.exports = standIn(https(), Agent, request)
