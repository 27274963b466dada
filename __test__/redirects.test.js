'use strict'

// follow-redirects, which axios uses, makes request after request inside the listeners of the one before, re-sends bodies and cuts
// off what it does not want. What it promises comes out the same over our agent, over the stand-ins, and as it is.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const { wrap } = require('follow-redirects')

const keepwire = require('..')
const { reply } = require('./support/peer')
const { testBoth } = require('./support/suite')

const BODY = 'x'.repeat(100_000)

const ELSEWHERE = 'elsewhere'

/** Where each path leads: status and location. @type {Record<string, [status: number, path: string]>} */
const WAYS = {
  '/301': [301, '/end'],
  '/303': [303, '/end'],
  '/307': [307, '/end'],
  '/chain': [302, '/301'],
  '/loop': [302, '/loop'],
  '/elsewhere': [302, ELSEWHERE],
}

/** @param {string} elsewhere */
function answer(elsewhere) {
  return (request, connection) => {
    const way = WAYS[request.target]
    if (way === undefined) {
      const { authorization = '-' } = request.headers
      connection.write(reply(`${request.method} ${request.target} ${request.body.length} ${authorization}`))
      return
    }
    const [status, path] = way
    const location = path === ELSEWHERE ? elsewhere : path
    connection.write(`HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 5\r\n\r\nmoved`)
  }
}

/** @type {Record<string, [expected: unknown[], path: string, options: object, body?: string]>} */
const CASES = {
  'a GET that is sent on': [[200, 'GET /end 0 -', '/end'], '/301', {}],
  'a POST that becomes a GET': [[200, 'GET /end 0 -', '/end'], '/303', { method: 'POST' }, BODY],
  'a POST that is sent again with its body': [[200, 'POST /end 100000 -', '/end'], '/307', { method: 'POST' }, BODY],
  'a chain': [[200, 'GET /end 0 -', '/end'], '/chain', {}],
  'a loop': [['ERR_FR_TOO_MANY_REDIRECTS', 'Maximum number of redirects exceeded'], '/loop', { maxRedirects: 3 }],
  'no redirects': [[301, 'moved', '/301'], '/301', { followRedirects: false }],
  'a body that is too long': [
    ['ERR_FR_MAX_BODY_LENGTH_EXCEEDED', 'Request body larger than maxBodyLength limit'],
    '/307',
    { method: 'POST', maxBodyLength: 1000 },
    BODY,
  ],
  'another host, which credentials are not for': [
    [200, 'GET /end 0 -', '/end'],
    '/elsewhere',
    { headers: { authorization: 'Basic eA==' } },
  ],
  'options that are changed on the way': [
    [200, 'GET /end 0 changed', '/end'],
    '/301',
    { beforeRedirect: (options) => Object.assign(options.headers, { authorization: 'changed' }) },
  ],
  'a redirect that is refused on the way': [
    ['ERR_FR_REDIRECTION_FAILURE', 'Redirected request failed: refused'],
    '/301',
    {
      beforeRedirect() {
        throw new Error('refused')
      },
    },
  ],
}

/** What comes of a request: status, body and last path, or the error. */
function outcome(request, url, options, body) {
  return new Promise((resolve) => {
    request(url, options, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const { statusCode, responseUrl } = response
        resolve([statusCode, Buffer.concat(chunks).toString(), new URL(responseUrl).pathname])
      })
    })
      .on('error', ({ code, message }) => resolve([code, message]))
      .end(body)
  })
}

for (const [title, [expected, path, options, body]] of Object.entries(CASES)) {
  testBoth(`follow-redirects: ${title} is the same over the agent and the stand-ins`, async (scope) => {
    const name = /** @type {'http' | 'https'} */ (scope.scheme)
    const second = await scope.peer(answer(''))
    const peer = await scope.peer(answer(`${name}://127.0.0.1:${second.port}/end`))
    const theirs = wrap({ http, https })[name].request
    const ours = wrap({ http: keepwire.http, https: keepwire.https })[name].request
    const url = `${name}://127.0.0.1:${peer.port}${path}`
    const asItIs = { ...options, agent: scope.runtimeAgent({ keepAlive: true }) }
    assert.deepStrictEqual(await outcome(theirs, url, asItIs, body), expected)
    for (const request of [theirs, ours]) {
      const agent = scope.agent({ keepAlive: true })
      assert.deepStrictEqual(await outcome(request, url, { ...options, agent }, body), expected)
    }
  })
}
