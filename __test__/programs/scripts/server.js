'use strict'

// A server in a process of its own, whose clock nobody fakes: it prints its port, and ends with its parent. It answers with
// the path, and never to /silent.

const http = require('node:http')

const server = http.createServer((req, res) => {
  if (req.url === '/silent') return
  if (req.url === '/drop') req.socket.destroy()
  else req.resume().on('end', () => res.end(`real ${req.url}`))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()
