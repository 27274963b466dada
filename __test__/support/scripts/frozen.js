'use strict'

// Two requests with deadlines: to /head and to /body. Tells when the latter's head has come, and what both come to.

const { Agent, HttpsAgent } = require('../../..')

const [, , scheme, port, deadlineMs] = process.argv

const secure = scheme === 'https'
const deadlines = { headersTimeout: Number(deadlineMs), bodyTimeout: Number(deadlineMs) }
const agent = secure ? new HttpsAgent({ ...deadlines, rejectUnauthorized: false }) : new Agent(deadlines)
const { get } = require(secure ? 'node:https' : 'node:http')

const tell = (what) => console.log(JSON.stringify(what))

for (const path of ['/head', '/body']) {
  const request = get({ host: '127.0.0.1', port, path, agent }, (response) => {
    if (path === '/body') tell({ hasHead: true })
    let body = ''
    response.on('data', (text) => (body += text)).on('end', () => tell({ path, body }))
    response.on('error', () => {})
  })
  request.on('error', ({ code }) => tell({ path, code }))
}
