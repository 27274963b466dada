'use strict'

// A server in a process of its own, whose clock nobody fakes: it prints its port, and ends with its parent. It answers with
// the path, and never to /silent. Its argument: how long it keeps idle connections, in ms, if not as long as usual.

const http = require('node:http')

const [keepAliveTimeout = 5_000] = process.argv.slice(2).map(Number)

const server = http.createServer({ keepAliveTimeout }, (req, res) => {
  if (req.url === '/silent') return
  if (req.url === '/drop') req.socket.destroy()
  else req.resume().on('end', () => res.end(`real ${req.url}`))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()
