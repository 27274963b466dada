'use strict'

// GETs before and after tls.setDefaultCACertificates(). Arguments: port, an authority's certificate, and `ours` or `theirs`.

const https = require('node:https')
const tls = require('node:tls')

const [port, pem, whose] = process.argv.slice(2)
const Agent = whose === 'ours' ? require('../../..').HttpsAgent : https.Agent
// The runtime takes the word of a session for its peer.
const agent = new Agent({ maxCachedSessions: 0 })

function ask() {
  return new Promise((resolve) => {
    https
      .get({ host: 'localhost', family: 4, port, agent }, (response) => {
        response.resume().on('end', () => resolve({ status: response.statusCode }))
      })
      .on('error', ({ code }) => resolve({ code }))
  })
}

async function main() {
  const before = tls.getCACertificates('default')
  for (const list of [before, [...before, pem], [pem], before, [pem]]) {
    tls.setDefaultCACertificates(list)
    console.log(JSON.stringify(await ask()))
  }
}

main()
