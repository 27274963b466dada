'use strict'

// An exception in a listener of a connection that ends: the connection must be gone all the same.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')

const [port, event] = process.argv.slice(2)
const Agent = agentUnderTest()
const agent = new Agent({ keepAlive: true, ...(event === 'timeout' ? { freeSocketTimeout: 20 } : {}) })

// An idle connection keeps no process.
const alive = setInterval(() => {}, 1_000)
process.on('uncaughtException', (error) => {
  clearInterval(alive)
  setImmediate(() => {
    const { sockets, freeSockets } = agent
    console.log(JSON.stringify({ caught: error.message, left: [...Object.keys(sockets), ...Object.keys(freeSockets)] }))
  })
})

http.get({ host: '127.0.0.1', port, path: event === 'end' ? '/fin' : '/length', agent }, (response) => {
  // Nobody reads the response whose connection ends.
  if (event === 'timeout') response.resume()
  response.socket.on(event, () => {
    throw new Error(`thrown at ${event}`)
  })
})
