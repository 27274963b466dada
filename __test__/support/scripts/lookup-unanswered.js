'use strict'

// `lookup-unanswered.js <process|worker>`: a replaced dns.lookup that never answers keeps nothing alive, and a thread that ends
// meanwhile takes its dial with it, as well as the place that it had.

const dns = require('node:dns')
const http = require('node:http')
const { Worker, isMainThread, parentPort } = require('node:worker_threads')

const { Agent } = require('../../..')

function ask(agent, port, onAsked) {
  dns.lookup = () => onAsked()
  http.get({ host: 'made-up.test', port, agent }).on('error', () => {})
}

if (!isMainThread) {
  ask(new Agent({ keepAlive: true, shared: true }), 9, () => parentPort.postMessage('asked'))
  // The thread waits for whoever ends it.
  setInterval(() => {}, 1000)
} else if (process.argv[2] === 'process') {
  ask(new Agent({ keepAlive: true }), 9, () => console.log(JSON.stringify({ asked: 1 })))
} else {
  const worker = new Worker(__filename)
  worker.once('message', async () => {
    console.log(JSON.stringify({ asked: 1 }))
    await worker.terminate()
    const server = http
      .createServer((_req, res) => res.end('ok'))
      .listen(0, '127.0.0.1', () => {
        const agent = new Agent({ keepAlive: true, shared: true })
        http.get({ host: '127.0.0.1', port: server.address().port, agent }, (res) => {
          res.on('data', (chunk) => console.log(JSON.stringify({ served: String(chunk) })))
          res.on('end', () => {
            agent.destroy()
            server.close()
          })
        })
      })
  })
}
