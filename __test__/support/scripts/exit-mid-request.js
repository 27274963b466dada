'use strict'

// process.exit() while requests are under way, queued and idle.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')
const { send } = require('../client')

const [port, silentPort] = process.argv.slice(2)
const Agent = agentUnderTest()
const agent = new Agent({ keepAlive: true, maxSockets: 2 })

send({ port, path: '/length', agent }).then(() => {
  for (let i = 0; i < 5; i++) http.get({ host: '127.0.0.1', port: silentPort, agent }).on('error', () => {})
  const upload = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/echo', agent })
  upload.on('error', () => {})
  upload.write('x'.repeat(100_000))
  setTimeout(() => process.exit(7), 50)
})
