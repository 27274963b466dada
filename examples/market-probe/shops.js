'use strict'

// Shops of our own, for who has none at hand: each at an address of its own, since limits are by host.

const http = require('node:http')

/** What each does with a request. @type {((answer: http.ServerResponse, count: number) => void)[]} */
const MANNERS = [
  (answer) => answer.end('{"price":1}'),
  (answer) => answer.end('{"price":2}'),
  (answer) => setTimeout(() => answer.end('{"price":3}'), 30),
  // Asks for a second's peace once.
  (answer, count) => (count === 3 ? answer.writeHead(429, { 'retry-after': '1' }).end() : answer.end('{"price":4}')),
  // Is down.
  (answer) => answer.destroy(),
]

/** @returns {Promise<{ urls: string[], close: () => Promise<void> }>} */
async function openShops() {
  // Only Linux has all of 127.0.0.0/8.
  const host = (/** @type {number} */ at) => (process.platform === 'linux' ? `127.0.0.${at + 1}` : '127.0.0.1')
  const servers = MANNERS.map((manner) => {
    let count = 0
    return http.createServer((_, answer) => manner(answer, ++count))
  })
  const urls = []
  for (const [at, server] of servers.entries()) {
    await new Promise((resolve) => server.listen(0, host(at), () => resolve(undefined)))
    urls.push(`http://${host(at)}:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`)
  }
  const close = async () => {
    for (const server of servers) await new Promise((resolve) => server.close(resolve))
  }
  return { urls, close }
}

module.exports = { openShops }
