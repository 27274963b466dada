'use strict'

// A fetch without a body, one with, one of a stream, and one that fails: says what tracers hear of each.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const { Socket } = require('node:net')

const { fetch } = require('../../..')

const origin = process.argv[2]
const NAMES = [
  'request:create',
  'client:sendHeaders',
  'request:bodySent',
  'request:headers',
  'request:trailers',
  'request:error',
]

async function main() {
  let heard = []
  for (const name of NAMES) {
    diagnostics.subscribe(`undici:${name}`, ({ request, response, headers, socket }) => {
      heard.push(name.split(':')[1])
      // Where the engine's client chooses the connection, one that tells nothing.
      if (name === 'client:sendHeaders') {
        assert.match(headers, /^(GET|POST) .*[^\n]\r\n$/s)
        assert.match(headers, /\ntraceparent: 00-1\r\n/)
        assert.ok(socket instanceof Socket)
      }
      if (name === 'request:create') request.addHeader('Traceparent', '00-1')
      if (response !== undefined) heard.push(response.statusCode)
    })
  }
  const body = () => new Blob(['stream']).stream()
  for (const init of [{}, { method: 'POST', body: 'x' }, { method: 'POST', body: body(), duplex: 'half' }]) {
    const text = await (await fetch(`${origin}/`, init)).text()
    console.log(JSON.stringify({ text, heard }))
    heard = []
  }
  const failed = await fetch(`${origin}/drop`, { method: 'POST' }).then(
    () => false,
    () => true,
  )
  console.log(JSON.stringify({ failed, heard }))
}

main()
