'use strict'

// A program that loads the package in a folder before node:https and node:tls, and then replaces what is in them. Prints which
// modules of the runtime the package has loaded, and whether it tells what was replaced from the runtime's own.

const keepwire = require(process.argv[2])

const loaded = process.moduleLoadList.map((line) => line.replace('NativeModule ', ''))
const late = ['crypto', 'dns', 'https', 'tls'].filter((name) => loaded.includes(name))

const https = require('node:https')
const tls = require('node:tls')

const own = https.Agent
https.Agent = class extends own {}
const { checkServerIdentity, DEFAULT_CIPHERS } = tls
tls.checkServerIdentity = (...given) => checkServerIdentity(...given)
tls.DEFAULT_CIPHERS = 'AES128-SHA'

const { HttpsAgent } = keepwire
class Derived extends HttpsAgent {}
const agent = new Derived()
const nameWhileReplaced = agent.getName({ host: 'localhost', port: 443 })
tls.checkServerIdentity = checkServerIdentity
const name = agent.getName({ host: 'localhost', port: 443 })

async function main() {
  const ways = []
  for (const ciphers of [tls.DEFAULT_CIPHERS, DEFAULT_CIPHERS]) {
    tls.DEFAULT_CIPHERS = ciphers
    // Nobody listens there: a fallback to the runtime's sockets is counted all the same.
    await new Promise((resolve) => {
      const options = { host: '127.0.0.1', port: 1, agent: new HttpsAgent(), servername: 'localhost' }
      const request = https.get(options).on('error', () => {
        ways.push(keepwire.explain(request)?.carriedBy)
        resolve()
      })
    })
  }
  return {
    late,
    isOwn: agent instanceof own && Object.getPrototypeOf(HttpsAgent) === own,
    tells: nameWhileReplaced !== name && nameWhileReplaced.startsWith(name),
    ways,
    isSame: keepwire.HttpsAgent === HttpsAgent && keepwire.https.Agent === HttpsAgent,
  }
}

main().then((told) => console.log(JSON.stringify(told)))
