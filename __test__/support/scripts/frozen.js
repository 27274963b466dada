'use strict'

// Requests with deadlines. Tells when the heads of those to /body… have come, and what each comes to.
//
// Arguments: the scheme, the server's port, the deadlines in ms, `engine` or `runtime` (whose sockets), and the paths. To the
// path /connect it is connectTimeout, to others headersTimeout and bodyTimeout.

const { lookup } = require('node:dns')

const { Agent, HttpsAgent } = require('../../..')

const [, , scheme, port, deadline, sockets, ...paths] = process.argv

const secure = scheme === 'https'
const { get } = require(secure ? 'node:https' : 'node:http')

const tell = (what) => console.log(JSON.stringify(what))

function agentFor(path) {
  const ms = Number(deadline)
  const options = path === '/connect' ? { connectTimeout: ms } : { headersTimeout: ms, bodyTimeout: ms }
  // Only a real socket can honour that.
  if (sockets === 'runtime') Object.assign(options, { lookup })
  return secure ? new HttpsAgent({ ...options, rejectUnauthorized: false }) : new Agent(options)
}

for (const path of paths) {
  const request = get({ host: '127.0.0.1', port, path, agent: agentFor(path) }, (response) => {
    if (path.startsWith('/body')) tell({ hasHead: true })
    let body = ''
    response.on('data', (text) => (body += text)).on('end', () => tell({ path, body }))
    response.on('error', ({ code }) => tell({ path, code }))
  })
  request.on('error', ({ code }) => tell({ path, code }))
}
