'use strict'

// Three requests, then nothing: the process must end by itself although connections are idle. Says when the last
// response ended and when the process did, by one clock.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')
const { send } = require('../client')

const [port, ending] = process.argv.slice(2)
const Agent = agentUnderTest()
const agent = new Agent({ keepAlive: true, ...(ending === 'timeout' && { timeout: 60_000 }) })
let last

process.on('exit', () => console.log(JSON.stringify({ afterLastMs: Number(process.hrtime.bigint() - last) / 1e6 })))

async function main() {
  for (let i = 0; i < 2; i++) await send({ port, path: '/length', agent })
  await new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port, path: '/split', agent }, (response) => {
        response.resume()
        response.on('end', resolve)
      })
      .on('error', reject)
  })
  last = process.hrtime.bigint()
}

main()
