'use strict'

// A program that knows nothing of keepwire and calls the global fetch, over http, or over https with the argument `https`:
// what does it get, and who asked for it? keepwire says `host` first over http, and offers all content codings; no runtime
// does both.

const scheme = process.argv[2] ?? 'http'
const { cert, key } = require('../../support/fetch-tls')

// Bun takes these for TLS, whatever the module.
const identity = scheme === 'https' ? { cert, key } : {}
let isCarried = false
const server = require(`node:${scheme}`).createServer(identity, ({ headers, rawHeaders }, response) => {
  const isFirst = scheme === 'https' || /^host$/i.test(rawHeaders[0])
  isCarried = isFirst && headers['accept-encoding'] === 'gzip, deflate, br, zstd'
  response.setHeader('connection', 'close')
  response.end('works')
})

server.listen(0, async () => {
  const response = await fetch(`${scheme}://localhost:${server.address().port}/`)
  console.log(JSON.stringify({ body: await response.text(), isCarried }))
  server.close()
})
