'use strict'

// A server that takes a while for each response: `GET /after/0.1` is answered after 0.1 ms of work, a millisecond and more after a
// wait, and what has a body only when that is here: nginx answers first, where nothing looks at it. Told the port by its first line of output; it ends with its input.

const http = require('node:http')
const https = require('node:https')

const { key, cert } = JSON.parse(process.argv[2])
const BODY = 'k'.repeat(100)
const HEADERS = { 'Content-Length': BODY.length }

/** Timers have no fractions of a millisecond. */
function work(ms) {
  const until = performance.now() + ms
  while (performance.now() < until);
}

function answer(request, response) {
  if (request.method === 'GET') return answerAfter(Number(request.url.slice('/after/'.length)), response)
  request.resume().once('end', () => answerAfter(Number(request.url.slice('/after/'.length)), response))
}

function answerAfter(ms, response) {
  const tell = () => response.writeHead(200, HEADERS).end(BODY)
  if (ms >= 1) return setTimeout(tell, ms)
  work(ms)
  tell()
}

const options = { keepAliveTimeout: 3_600_000 }
const servers = [http.createServer(options, answer), https.createServer({ ...options, key, cert }, answer)]
const ports = []
for (const server of servers) {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 16_384 }, () => {
    ports.push(server.address().port)
    if (ports.length === servers.length) {
      process.stdout.write(`${JSON.stringify(servers.map((one) => one.address().port))}\n`)
    }
  })
}
process.stdin.resume().on('end', () => process.exit())
