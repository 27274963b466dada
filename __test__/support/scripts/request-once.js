'use strict'

// In a worker thread: makes one request to a port, and stays until it is ended.

const http = require('node:http')
const { workerData } = require('node:worker_threads')

const { Agent } = require('../../..')

setInterval(() => {}, 60_000)
http.get({ host: '127.0.0.1', port: workerData.port, agent: new Agent({ keepAlive: true }) }, (response) =>
  response.resume(),
)
