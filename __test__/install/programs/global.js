'use strict'

// What a program says to the runtime's global agent by its properties, before keepwire comes.

const http = require('node:http')

http.globalAgent.keepAlive = true
http.globalAgent.scheduling = 'fifo'
http.globalAgent.maxSockets = 7

const { keepAlive, scheduling, maxSockets } = require('../../..').http.globalAgent
console.log(JSON.stringify({ answer: { keepAlive, scheduling, maxSockets } }))
