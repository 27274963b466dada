'use strict'

// Worker threads that make requests and end by themselves with idle connections left; two at once.

const path = require('node:path')
const { Worker, isMainThread, workerData } = require('node:worker_threads')

const { agentUnderTest } = require('../runtime')
const { sequential } = require('../client')

const Agent = agentUnderTest()

if (isMainThread) {
  const port = Number(process.argv[2])
  const workers = [1, 2].map(() => new Worker(path.join(__dirname, 'worker-ends.js'), { workerData: { port } }))
  Promise.all(
    workers.map((worker) => new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))),
  ).then((codes) => console.log(JSON.stringify({ codes })))
} else {
  const agent = new Agent({ keepAlive: true })
  sequential(10, () => ({ port: workerData.port, path: '/length', agent }))
}
