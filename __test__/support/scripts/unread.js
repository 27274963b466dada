'use strict'

// A response whose body nobody reads: the process must end when its connection does. Says what is told on the way.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')

const [port, path, ending, how] = process.argv.slice(2)
const Agent = agentUnderTest()
const agent = new Agent({ keepAlive: true })
const { get } = how === 'own' && !process.env.KEEPWIRE_TEST_BASELINE ? require('../../../index.js').http : http

/** @type {string[]} */
const told = []
process.on('exit', () => console.log(JSON.stringify({ told })))

const request = get({ host: '127.0.0.1', port, path, agent }, (response) => {
  told.push('response')
  for (const event of ['end', 'error', 'aborted']) response.on(event, () => told.push(`response ${event}`))
  for (const event of ['end', 'close', 'error']) response.socket.on(event, () => told.push(`socket ${event}`))
  if (ending === 'ends') response.socket.end()
  if (ending === 'unref') response.socket.unref()
})
for (const event of ['close', 'error', 'abort']) request.on(event, () => told.push(`request ${event}`))
