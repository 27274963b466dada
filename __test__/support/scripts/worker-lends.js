'use strict'

// Worker threads that are terminated, or exit, while bodies come that are written to buffers of theirs.

const http = require('node:http')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

const { fetch } = require('../../..')
const native = require('../../../lib/bridge/native.js')

const ROUNDS = 6
const BODIES = 3
const LENGTH = 8 * 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 'x')

/** Sends without end what it has said the length of. */
function answer(_request, response) {
  response.writeHead(200, { 'content-length': LENGTH })
  let left = LENGTH / PIECE.length
  const send = () => {
    // The last piece never comes: whoever reads is in the middle of it.
    while (left > 1) {
      left -= 1
      if (!response.write(PIECE)) return response.once('drain', send)
    }
  }
  send()
}

async function main() {
  const server = http.createServer(answer)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${server.address().port}/`
  let most = 0
  for (let round = 0; round < ROUNDS; round++) {
    const worker = new Worker(__filename, { workerData: { url, exits: round % 2 === 0 } })
    const exited = new Promise((resolve) => worker.once('exit', resolve))
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    most = Math.max(most, native.held().lent)
    if (round % 2 !== 0) await worker.terminate()
    else worker.postMessage('exit')
    await exited
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  // Deno tells that a thread has ended before it frees what that held.
  while (native.held().lent > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  console.log(JSON.stringify({ most }))
}

async function work() {
  for (let body = 0; body < BODIES; body++) {
    const response = await fetch(workerData.url)
    response.arrayBuffer().catch(() => {})
  }
  parentPort.once('message', () => process.exit(0))
  // What was read is on its way to the engine when this tick is over.
  setImmediate(() => parentPort.postMessage('busy'))
}

if (isMainThread) main()
else work()
