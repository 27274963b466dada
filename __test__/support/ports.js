'use strict'

// Ports on loopback for programs that can't be told to take any that is free.

const net = require('node:net')

/**
 * @param {number} port
 * @returns {Promise<boolean>} whether somebody listens there
 */
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.destroy())
    socket.on('error', () => resolve(false))
    socket.on('close', (failed) => resolve(!failed))
  })
}

/** @returns {Promise<number>} one that was free a moment ago */
function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

module.exports = { answers, freePort }
