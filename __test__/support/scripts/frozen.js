'use strict'

// Requests with deadlines. Tells when the heads of those to /body… and /fetch-body… have come, and what each comes to.
//
// Arguments: the scheme, the server's port, the deadlines in ms, `engine` or `runtime` (whose sockets), and the paths, each of
// which begins with what its deadline is for; see `begin`.

const { lookup } = require('node:dns')

const { Agent, fetch, HttpsAgent } = require('../../..')

const [, , scheme, port, deadline, sockets, ...paths] = process.argv

const ms = Number(deadline)
const secure = scheme === 'https'
const { get } = require(secure ? 'node:https' : 'node:http')

const tell = (what) => console.log(JSON.stringify(what))

function agentWith(options) {
  // Only a real socket can honour that.
  const all = sockets === 'runtime' ? { ...options, lookup } : options
  return secure ? new HttpsAgent({ ...all, rejectUnauthorized: false }) : new Agent(all)
}

function request(path, agent) {
  const sent = get({ host: '127.0.0.1', port, path, agent }, (response) => {
    if (path.startsWith('/body')) tell({ hasHead: true })
    let body = ''
    response.on('data', (text) => (body += text)).on('end', () => tell({ path, body }))
    response.on('error', ({ code }) => tell({ path, code }))
  })
  sent.on('error', ({ code }) => tell({ path, code }))
}

async function fetched(path) {
  try {
    const agent = agentWith({ keepAlive: false })
    const response = await fetch(`${scheme}://127.0.0.1:${port}${path}`, { agent, timeout: ms })
    if (path.startsWith('/fetch-body')) tell({ hasHead: true })
    tell({ path, body: await response.text() })
  } catch (error) {
    tell({ path, code: error.name })
  }
}

const begin = {
  connect: (path) => request(path, agentWith({ connectTimeout: ms })),
  head: (path) => request(path, agentWith({ headersTimeout: ms, bodyTimeout: ms })),
  body: (path) => request(path, agentWith({ headersTimeout: ms, bodyTimeout: ms })),
  // Its connection is another request's first.
  queue: (path) => {
    const agent = agentWith({ keepAlive: true, maxSockets: 1, queueTimeout: ms })
    request(`/before${path}`, agent)
    request(path, agent)
  },
  fetch: fetched,
  'fetch-body': fetched,
}

for (const path of paths) begin[/^\/([a-z-]+)/.exec(path)[1]](path)
