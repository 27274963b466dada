'use strict'

// Requests one after another, and what may happen in their callbacks: see in-loop.test.js.

const { AsyncLocalStorage } = require('node:async_hooks')
const http = require('node:http')
const { isMainThread, Worker, workerData } = require('node:worker_threads')

const { Agent } = require('../../..')

const agent = new Agent({ keepAlive: true })

/** @param {number} port */
function get(port) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume()
      response.on('end', () => resolve(undefined))
    })
    request.on('error', reject)
  })
}

/** @param {string} what @param {number} port */
async function main(what, port) {
  let [thrown, answered, right, wrong, ended] = [0, 0, 0, 0, 0]
  switch (what) {
    case 'throws': {
      process.on('uncaughtException', (error) => {
        if (error.message === 'of a user') thrown += 1
        else throw error
      })
      for (let i = 0; i < 40; i += 1) {
        await new Promise((resolve) => {
          http.get({ host: '127.0.0.1', port, agent }, (response) => {
            response.resume()
            response.on('end', () => {
              answered += 1
              setImmediate(resolve)
              if (i % 2 === 1) throw new Error('of a user')
            })
          })
        })
      }
      return { thrown, answered }
    }
    case 'stores': {
      const storage = new AsyncLocalStorage()
      for (let i = 0; i < 60; i += 1) {
        await storage.run(i, async () => {
          await get(port)
          if (storage.getStore() === i) right += 1
          else wrong += 1
        })
      }
      return { right, wrong }
    }
    case 'exits': {
      for (let i = 0; i < 30; i += 1) await get(port)
      http.get({ host: '127.0.0.1', port, agent }, () => process.exit(7))
      return undefined
    }
    case 'workers': {
      const end = async () => {
        const worker = new Worker(__filename, { workerData: { port } })
        const exited = new Promise((resolve) => worker.on('exit', resolve))
        worker.on('message', () => worker.terminate())
        await exited
        ended += 1
      }
      await Promise.all(Array.from({ length: 12 }, end))
      for (let i = 0; i < 30; i += 1) {
        await get(port)
        answered += 1
      }
      return { ended, answered }
    }
    default: {
      // Of a worker: until it is ended, at any moment.
      const { parentPort } = require('node:worker_threads')
      for (let i = 0; ; i += 1) {
        await get(port)
        if (i === 20) parentPort?.postMessage('ready')
      }
    }
  }
}

if (isMainThread) {
  const server = http.createServer((_, response) => response.end('hello'))
  server.listen(0, '127.0.0.1', async () => {
    const result = await main(process.argv[2], /** @type {import('node:net').AddressInfo} */ (server.address()).port)
    if (result === undefined) return
    console.log(JSON.stringify(result))
    agent.destroy()
    server.close()
  })
} else main('', workerData.port)
