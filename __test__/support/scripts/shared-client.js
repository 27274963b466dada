'use strict'

// A worker thread of the tests of agents that share: makes as many sequential requests as it is told, and says how many
// were answered, over TLS also who answered.

const { parentPort, workerData } = require('node:worker_threads')

const { Agent, HttpsAgent } = require('../../..')

const { host = '127.0.0.1', port, secure = false, ca } = workerData
const agent = new (secure ? HttpsAgent : Agent)({ keepAlive: true, shared: true, ca })
const { get } = secure ? require('node:https') : require('node:http')

/** @returns {Promise<object>} who answered */
function ask() {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, family: 4, path: '/length', agent }, (response) => {
      const { authorized, getPeerCertificate } = request.socket
      const peer = secure ? { authorized, subject: getPeerCertificate.call(request.socket).subject.CN } : {}
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (chunk) => (body += chunk))
      response.on('end', () => (body === 'hello world' ? resolve(peer) : reject(new Error(`got ${body}`))))
    })
    request.on('error', reject)
  })
}

parentPort.on('message', async ({ requests }) => {
  let peer
  for (let i = 0; i < requests; i++) peer = await ask()
  parentPort.postMessage({ ok: requests, ...peer })
})
parentPort.postMessage('ready')
