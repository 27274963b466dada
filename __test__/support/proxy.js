'use strict'

// A proxy of the test's own, which keeps count, and misbehaves when it is told to.

const net = require('node:net')

const { plainServer, rawSecureServer } = require('./secure')

/**
 * @typedef {object} Scripted
 * @property {(head: string, socket: net.Socket) => boolean | void} [onHead] answers in the proxy's place if it returns true
 * @property {{ pem: string, key: string }} [identity] who it is, if it speaks TLS itself
 */

/**
 * @param {import('./suite').Scope} scope
 * @param {Scripted} [script]
 * @returns {Promise<any>} `url`, `port`, what was `accepted`, and the `heads` of requests; `cut()` closes all tunnels
 */
async function scriptedProxy(scope, { identity, onHead } = {}) {
  /** @type {string[]} */
  const heads = []
  /** @type {Set<net.Socket>} */
  const sockets = new Set()
  const serve = (/** @type {net.Socket} */ socket) => {
    let read = Buffer.alloc(0)
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    const onData = (/** @type {Buffer} */ chunk) => {
      read = Buffer.concat([read, chunk])
      const end = read.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = read.subarray(0, end + 4).toString('latin1')
      read = read.subarray(end + 4)
      heads.push(head)
      if (onHead?.(head, socket)) return
      const [method, target] = head.split(' ', 2)
      if (method === 'CONNECT') {
        socket.off('data', onData)
        tunnel(socket, target, read)
      } else {
        forward(socket, head, target)
      }
    }
    socket.on('data', onData)
  }
  const served =
    identity === undefined ? await plainServer(scope, serve) : await rawSecureServer(scope, identity, serve)

  /** @param {net.Socket} socket @param {string} target @param {Buffer} early */
  function tunnel(socket, target, early) {
    const far = net.connect(Number(target.slice(target.lastIndexOf(':') + 1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      if (early.length > 0) far.write(early)
      socket.pipe(far)
      far.pipe(socket)
    })
    far.on('error', () => socket.destroy())
    far.on('close', () => socket.destroy())
    socket.on('close', () => far.destroy())
  }

  /** Requests without a body. @param {net.Socket} socket @param {string} head @param {string} target */
  function forward(socket, head, target) {
    const url = new URL(target)
    const far = net.connect(Number(url.port), '127.0.0.1', () => {
      const lines = head.split('\r\n').filter((line) => !/^(?:proxy-|connection)/i.test(line))
      lines[0] = `${head.split(' ', 1)[0]} ${url.pathname}${url.search} HTTP/1.1`
      lines.splice(1, 0, 'Connection: close')
      far.write(lines.join('\r\n'))
    })
    /** @type {Buffer[]} */
    const chunks = []
    far.on('data', (chunk) => chunks.push(chunk))
    far.on('error', () => socket.destroy())
    far.on('end', () => {
      const answer = Buffer.concat(chunks)
        .toString('latin1')
        .replace(/\r\nconnection: close/i, '')
      socket.write(answer, 'latin1')
    })
  }

  return {
    port: served.port,
    url: identity === undefined ? `http://127.0.0.1:${served.port}` : `https://localhost:${served.port}`,
    accepted: served,
    heads,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

module.exports = { scriptedProxy }
