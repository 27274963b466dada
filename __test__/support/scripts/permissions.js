'use strict'

// Asks for things in a sandbox that may forbid them, by every way of requesting, and says how each ended.

const http = require('node:http')

const { baseline } = require('../runtime')

const [port, ...hosts] = process.argv.slice(2)
const keepwire = baseline ? null : require('../../../index.js')

/** @param {any} error */
function told(error) {
  const { name, code = null, message, cause } = error
  // Deno's own fetch says more of how far it came.
  return { name, code, message: (cause?.message ?? message).replace(/^error sending request .*\(Connect\): /, '') }
}

/** @returns {Promise<object>} */
function asked(request, options) {
  return new Promise((resolve) => {
    try {
      const req = request({ port, ...options }, (res) => {
        res.resume().on('end', () => resolve({ status: res.statusCode }))
      })
      req.on('error', (error) => resolve(told(error))).end()
    } catch (error) {
      resolve(told(error))
    }
  })
}

function fetched(fetch, url, options) {
  return fetch(url, options).then(({ status }) => ({ status }), told)
}

async function main() {
  const agent = new (keepwire ?? http).Agent({ keepAlive: true })
  const ownRequest = (keepwire?.http ?? http).request
  const fetch = keepwire?.fetch ?? globalThis.fetch
  for (const host of hosts) {
    const url = `http://${host}:${port}`
    const ends = {
      'http.request': await asked(http.request, { host, agent }),
      'own request': await asked(ownRequest, { host, agent }),
      fetch: await fetched(fetch, url, {}),
      'fetch over an agent': await fetched(fetch, url, keepwire === null ? {} : { agent }),
      'a redirect': await fetched(fetch, `${url}/redirect`, {}),
    }
    console.log(JSON.stringify({ host, ends }))
  }
  const other = new (keepwire ?? http).Agent({ keepAlive: true })
  const socketPath = '/nobody/listens.sock'
  console.log(JSON.stringify({ socketPath: await asked(http.request, { socketPath, agent: other }) }))
  if (keepwire !== null) {
    const opened = await agent.preconnect(`http://${hosts[0]}:${port}`, 1)
    const reasons = Object.values(agent.stats().origins).flatMap(({ foreign }) => Object.keys(foreign))
    console.log(JSON.stringify({ opened, reasons: [...new Set(reasons)] }))
  }
  agent.destroy()
}

main()
