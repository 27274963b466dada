'use strict'

// Worker threads that are terminated in the middle of their requests, several times over; the main thread's own
// requests go on before, beside and after.

const path = require('node:path')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const http = require('node:http')

const { agentUnderTest } = require('../runtime')
const { send } = require('../client')

const Agent = agentUnderTest()

if (isMainThread) {
  const [port, silentPort] = process.argv.slice(2).map(Number)
  const agent = new Agent({ keepAlive: true })
  const main = async () => {
    for (let round = 0; round < 4; round++) {
      const worker = new Worker(path.join(__dirname, 'worker-terminated.js'), { workerData: { port, silentPort } })
      await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      const beside = send({ port, path: '/split', agent })
      await worker.terminate()
      await beside
      await send({ port, path: '/length', agent })
    }
    console.log(JSON.stringify({ survived: true }))
    // Ends by itself: only idle connections are left.
  }
  main()
} else {
  const { port, silentPort } = workerData
  const agent = new Agent({ keepAlive: true, maxSockets: 3 })
  send({ port, path: '/length', agent }).then(() => {
    for (let i = 0; i < 6; i++) http.get({ host: '127.0.0.1', port: silentPort, agent }).on('error', () => {})
    const upload = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/echo', agent })
    upload.on('error', () => {})
    upload.write('y'.repeat(50_000))
    setTimeout(() => parentPort.postMessage('busy'), 20)
  })
}
