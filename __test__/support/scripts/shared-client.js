'use strict'

// A worker thread of the tests of agents that share: makes as many sequential requests as it is told, by the runtime's
// get() or by ours, and says how many were answered and how many of them were fast, over TLS also who answered.

const { parentPort, workerData } = require('node:worker_threads')

const keepwire = require('../../..')
const { isFast } = require('../fast-recorder')

const { Agent, HttpsAgent } = keepwire
const { host = '127.0.0.1', port, secure = false, ca, own = false } = workerData
const agent = new (secure ? HttpsAgent : Agent)({ keepAlive: true, shared: true, ca })
const runtime = secure ? require('node:https') : require('node:http')
const ours = secure ? keepwire.https : keepwire.http
const { get } = own ? ours : runtime

/** @returns {Promise<{ fast: boolean }>} who answered */
function ask() {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: '/length', agent }, (response) => {
      const { authorized, getPeerCertificate } = request.socket
      const peer = secure ? { authorized, subject: getPeerCertificate.call(request.socket).subject.CN } : {}
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('latin1')
        if (body === 'hello world') resolve({ fast: isFast(request) && isFast(response), ...peer })
        else reject(new Error(`got ${body}`))
      })
    })
    request.on('error', reject)
  })
}

parentPort.on('message', async ({ requests }) => {
  let peer
  let fast = 0
  for (let i = 0; i < requests; i++) {
    peer = await ask()
    fast += Number(peer.fast)
  }
  parentPort.postMessage({ ok: requests, ...peer, fast })
})
parentPort.postMessage('ready')
