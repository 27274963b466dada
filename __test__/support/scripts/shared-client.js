'use strict'

// A worker thread of the tests of agents that share: makes as many sequential requests as it is told, by the runtime's
// get() or by ours, and says how many were answered and how many of them were lean, over TLS also who answered.

const { parentPort, workerData } = require('node:worker_threads')

const keepwire = require('../../..')
const { isLean } = require('../lean-recorder')

const { Agent, HttpsAgent } = keepwire
const { host = '127.0.0.1', port, secure = false, ca, own = false } = workerData
const agent = new (secure ? HttpsAgent : Agent)({ keepAlive: true, shared: true, ca })
const runtime = secure ? require('node:https') : require('node:http')
const ours = secure ? keepwire.https : keepwire.http
const { get } = own ? ours : runtime

/** @returns {Promise<{ lean: boolean }>} who answered */
function ask() {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: '/length', agent }, (response) => {
      const { authorized, getPeerCertificate } = request.socket
      const peer = secure ? { authorized, subject: getPeerCertificate.call(request.socket).subject.CN } : {}
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('latin1')
        if (body === 'hello world') resolve({ lean: isLean(request) && isLean(response), ...peer })
        else reject(new Error(`got ${body}`))
      })
    })
    request.on('error', reject)
  })
}

parentPort.on('message', async ({ requests }) => {
  let peer
  let lean = 0
  for (let i = 0; i < requests; i++) {
    peer = await ask()
    lean += Number(peer.lean)
  }
  parentPort.postMessage({ ok: requests, ...peer, lean })
})
parentPort.postMessage('ready')
