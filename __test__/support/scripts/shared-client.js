'use strict'

// A worker thread of shared.test.js: makes as many sequential requests as it is told, and says how many were answered.

const http = require('node:http')
const { parentPort, workerData } = require('node:worker_threads')

const { Agent } = require('../../..')

const agent = new Agent({ keepAlive: true, shared: true })

function get() {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: workerData.port, path: '/length', agent }
    http
      .get(options, (response) => {
        let body = ''
        response.setEncoding('latin1')
        response.on('data', (chunk) => (body += chunk))
        response.on('end', () => (body === 'hello world' ? resolve() : reject(new Error(`got ${body}`))))
      })
      .on('error', reject)
  })
}

parentPort.on('message', async ({ requests }) => {
  for (let i = 0; i < requests; i++) await get()
  parentPort.postMessage({ ok: requests })
})
parentPort.postMessage('ready')
