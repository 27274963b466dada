'use strict'

// An exception in a callback of a request is the process's, as with every other callback.

const { AsyncLocalStorage } = require('node:async_hooks')
const http = require('node:http')

const { agentUnderTest } = require('../runtime')

const [port, where, caught] = process.argv.slice(2)
const storage = new AsyncLocalStorage()
const Agent = agentUnderTest()
const agent = new Agent({ keepAlive: true })

if (caught === 'caught') {
  process.on('uncaughtException', (error) => {
    console.log(JSON.stringify({ caught: error.message, store: storage.getStore() }))
    // The agent works on.
    http.get({ host: '127.0.0.1', port, path: '/length', agent }, (response) => {
      response.resume()
      response.on('end', () => {
        console.log(JSON.stringify({ next: response.statusCode }))
        // The first request may be left hanging, as with the runtime's own agent.
        process.exit(0)
      })
    })
  })
}

const boom = () => {
  throw new Error(`thrown in ${where}`)
}
storage.run('of its request', () => {
  const request = http.get({ host: '127.0.0.1', port, path: '/split', agent }, (response) => {
    if (where === 'response') boom()
    response.on('data', () => where === 'data' && boom())
    response.on('end', () => where === 'end' && boom())
  })
  request.on('socket', () => where === 'socket' && boom())
})
