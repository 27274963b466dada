'use strict'

// Three requests, one after another, by code that knows nothing of keepwire: how many connections did they take, and
// does the server's announcement-free close after each answer cost any of them?

const http = require('node:http')

const server = http.createServer((_request, response) => response.end('works'))
const seen = new Set()
server.on('connection', (socket) => seen.add(socket))

function send(left, bodies) {
  http.get({ host: '127.0.0.1', port: server.address().port }, (response) => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', (text) => {
      body += text
    })
    response.on('end', () => {
      bodies.push(body)
      if (left > 1) return send(left - 1, bodies)
      const engine = Object.values(http.globalAgent.freeSockets).flat()[0]?.constructor.name
      console.log(JSON.stringify({ bodies, connections: seen.size, engine: engine ?? null }))
      http.globalAgent.destroy()
      server.close()
    })
  })
}

server.listen(0, '127.0.0.1', () => send(3, []))
