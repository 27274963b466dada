'use strict'

// One https request to a server of its own, in a process whose command line names ciphers: why the runtime's sockets served it, if so.

const https = require('node:https')

const { HttpsAgent } = require('../../..')
const { ca, cert, key } = require('../fetch-tls')

const agent = new HttpsAgent({ keepAlive: true, ca })
const server = https
  .createServer({ cert, key }, (_, response) => response.end('ok'))
  .listen(0, '127.0.0.1', () => {
    https.get({ host: 'localhost', family: 4, port: server.address().port, agent }, (response) => {
      response.resume().once('end', () => {
        console.log(JSON.stringify(Object.values(agent.stats().origins)[0].foreign))
        agent.destroy()
        server.close()
      })
    })
  })
