'use strict'

// A failing request without an 'error' listener ends the process, as with the runtime's own agent.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')

const Agent = agentUnderTest()
http.get({ host: '127.0.0.1', port: 1, agent: new Agent({ keepAlive: true }) })
