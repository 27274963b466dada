'use strict'

// `state.js <what> <way> [<first|last>]`: what a program has told the runtime's global agents before keepwire comes, and what becomes of a
// request that names no agent.

const http = require('node:http')
const https = require('node:https')
const tls = require('node:tls')

const { ca, cert, key } = require('../../support/fetch-tls')
const { outcome, requireProgram, serve, WAYS } = require('./program')

const [what, way, order = 'first'] = process.argv.slice(2)

const STATES = {
  proxy: () => http.setGlobalProxyFromEnv({ http_proxy: `http://127.0.0.1:${global.proxyPort}` }),
  'global-agent'() {
    process.env.GLOBAL_AGENT_HTTP_PROXY = `http://127.0.0.1:${global.proxyPort}`
    requireProgram('global-agent').bootstrap()
  },
  options() {
    https.globalAgent.options.ca = 'an authority'
    https.globalAgent.options.rejectUnauthorized = false
    https.globalAgent.maxSockets = 3
    http.globalAgent.maxTotalSockets = 4
  },
  /** As who adds the system's authorities to those of the runtime does. */
  authorities() {
    const { createSecureContext } = tls
    tls.createSecureContext = function withAuthorities(...args) {
      const secure = createSecureContext.apply(this, args)
      secure.context.addCACert(ca)
      return secure
    }
    return () => {
      tls.createSecureContext = createSecureContext
    }
  },
  replaced() {
    http.globalAgent = new http.Agent({ keepAlive: true, maxSockets: 5, timeout: 1234 })
  },
  own() {
    class Own extends http.Agent {
      addRequest(...args) {
        global.asked = true
        super.addRequest(...args)
      }
    }
    http.globalAgent = new Own({ keepAlive: true })
  },
}

async function main() {
  const { port, requests } = await serve()
  // A proxy is asked for whole URLs.
  const proxy = await serve()
  global.proxyPort = proxy.port
  const isSecure = what === 'authorities'
  const secure = https.createServer({ cert, key }, (req, res) => res.end(`real ${req.url}`))
  if (isSecure) {
    secure.unref().listen(0, '127.0.0.1')
    await new Promise((resolve) => secure.once('listening', resolve))
  }
  const undo = order === 'first' ? STATES[what]() : undefined
  const keepwire = require('../../..')
  const restore = undo ?? (order === 'first' ? undefined : STATES[what]())
  const url = isSecure ? `https://localhost:${secure.address().port}/a` : `http://127.0.0.1:${port}/a`
  const answer = await outcome(WAYS[way](keepwire, url, 'get'))
  restore?.()
  const later = isSecure ? await outcome(WAYS[way](keepwire, url, 'get')) : undefined
  const agents =
    way === 'stand-in'
      ? [keepwire.http.globalAgent, keepwire.https.globalAgent]
      : [http, https].map((m) => m.globalAgent)
  const shown = agents.map(({ options = {}, maxSockets, maxTotalSockets }) => {
    const { ca, rejectUnauthorized, timeout } = options
    return { ca, rejectUnauthorized, timeout, maxSockets, maxTotalSockets }
  })
  const isOurs = agents.map((agent) => agent instanceof keepwire.Agent || agent instanceof keepwire.HttpsAgent)
  const proxied = proxy.requests.length
  console.log(JSON.stringify({ answer, later, requests, proxied, asked: global.asked === true, shown, isOurs }))
  process.exit()
}

main()
