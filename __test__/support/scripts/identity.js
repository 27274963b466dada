'use strict'

// Says whether a replaced tls.checkServerIdentity is asked, and obeyed, by each way of requesting.

const https = require('node:https')
const tls = require('node:tls')

const kw = require('../../..')
const { byFetch, byRequest } = require('../judging')

const port = Number(process.argv[2])
const runtimeCheck = tls.checkServerIdentity

async function main() {
  const agent = new kw.HttpsAgent({ keepAlive: true })
  const url = `https://localhost:${port}/`
  const ways = {
    agent: () => byRequest(https.request, { port, agent }),
    own: () => byRequest(kw.https.request, { port, agent }),
    'fetch with an agent': () => byFetch(url, { agent }),
    'fetch without an agent': () => byFetch(url),
  }
  for (const [way, go] of Object.entries(ways)) {
    // What was verified before must not count for those who ask.
    const before = await go()
    const asked = []
    tls.checkServerIdentity = (host, { subject }) => {
      asked.push(`${host} ${subject.CN}`)
      return Object.assign(new Error('not pinned'), { code: 'ENOTPINNED' })
    }
    const refused = await go()
    tls.checkServerIdentity = (host, certificate) => {
      asked.push(`${host} ${certificate.subject.CN}`)
      return runtimeCheck(host, certificate)
    }
    const taken = await go()
    tls.checkServerIdentity = runtimeCheck
    console.log(JSON.stringify({ way, before, refused, taken, asked }))
  }
  agent.destroy()
}

main()
