'use strict'

// What the server processes of support/remote.js have in common: whom they prove to be, how they tell their ports and
// counts, and that they end with their parent.

const { once } = require('node:events')
const net = require('node:net')

const LOOPBACK = '127.0.0.1'

const VARIABLE = 'KEEPWIRE_TEST_IDENTITY'

/** Whom this process's servers prove to be. @type {import('./listener').Identity | undefined} */
const identity = process.env[VARIABLE] && JSON.parse(process.env[VARIABLE])

/** What a process of that identity has in its environment. @param {import('./listener').Identity | undefined} given */
const identityFor = (given) => (given ? { [VARIABLE]: JSON.stringify(given) } : {})

/**
 * @param {Record<string, net.Server>} servers each port is told by its server's name
 * @param {() => object} counts what a connection to the control port is told
 */
async function serve(servers, counts) {
  const control = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.end(JSON.stringify(counts()))
  })
  const told = {}
  for (const [name, server] of Object.entries({ ...servers, controlPort: control })) {
    await once(server.listen(0, LOOPBACK), 'listening')
    told[name] = server.address().port
  }
  console.log(JSON.stringify(told))
  // The parent's end of stdin closes when the parent ends, however it ends.
  process.stdin.on('end', () => process.exit(0))
  process.stdin.resume()
}

module.exports = { identity, identityFor, serve }
