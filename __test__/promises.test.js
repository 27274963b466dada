'use strict'

// Who listens a promise later (`await request(…)`, as got does, or `await once(req, 'response')`) hears all: as with the runtime's
// sockets, nothing is told in the turn in which it was asked for, nor two things of one request in one turn.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')

const keepwire = require('..')
const { reply } = require('./support/peer')
const { testBoth } = require('./support/suite')

/** Long enough for the I/O thread to fail or to read what there is, meanwhile. */
const BUSY_MS = 30

/** @type {Record<string, (scope: any) => any>} */
const REQUESTS = {
  'the agent': ({ scheme }) => (scheme === 'http' ? http.request : https.request),
  'our own request': ({ scheme }) => (scheme === 'http' ? keepwire.http.request : keepwire.https.request),
}

function beBusy() {
  const since = Date.now()
  while (Date.now() - since < BUSY_MS);
}

for (const [way, requestOf] of Object.entries(REQUESTS)) {
  for (const place of ['response', 'data', 'end', 'close']) {
    testBoth(`an error of a request over ${way}, made in '${place}', is heard a promise later`, async (scope) => {
      const peer = await scope.peer((_, connection) => connection.write(reply('ok')))
      const agent = scope.agent({ keepAlive: true })
      const request = requestOf(scope)
      const error = await new Promise((resolve, reject) => {
        const failing = async () => {
          const made = request({ socketPath: path.join(__dirname, 'nobody-listens-here'), agent })
          made.end()
          beBusy()
          await undefined
          made.on('error', resolve)
        }
        request({ host: '127.0.0.1', port: peer.port, agent })
          .on('error', reject)
          .on('close', () => place === 'close' && failing())
          .on('response', (response) => {
            if (place === 'response') failing()
            response.on('end', () => place === 'end' && failing())
            response.on('data', () => place === 'data' && failing())
          })
          .end()
      })
      assert.strictEqual(error.code, 'ENOENT')
    })
  }

  testBoth(`who waits for 'response' of ${way} by a promise reads what came before a reset`, async (scope) => {
    const remote = await scope.remote()
    const agent = scope.agent({ keepAlive: true })
    const told = []
    const made = requestOf(scope)({ host: '127.0.0.1', port: remote.port, path: '/reset', agent })
    const closed = new Promise((resolve) => made.on('close', resolve))
    made.on('error', ({ code }) => told.push(code))
    made.end()
    const response = await new Promise((resolve) => {
      made.on('response', (response) => {
        beBusy()
        resolve(response)
      })
    })
    response.on('data', (chunk) => told.push(String(chunk)))
    response.on('error', () => told.push('failed'))
    await closed
    await new Promise((resolve) => (response.closed ? resolve() : response.on('close', resolve)))
    assert.deepStrictEqual(told, ['hello world', 'ECONNRESET', 'failed'])
  })

  testBoth(`what is no HTTP behind a response of ${way} that nobody looks at is an error`, async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(`${reply('')}no HTTP`))
    const made = requestOf(scope)({ host: '127.0.0.1', port: peer.port, agent: scope.agent() })
    made.end()
    const { code } = await new Promise((resolve) => made.on('error', resolve))
    assert.match(code, /^HPE_/)
  })
}
