'use strict'

// A SOCKS proxy of the test's own, of versions 4, 4a and 5 (RFC 1928, RFC 1929), which keeps count, and misbehaves when it is told to.

const net = require('node:net')

const { plainServer } = require('./secure')

/**
 * @typedef {object} Scripted
 * @property {string} [user] whom it lets through; everybody, if it is not said
 * @property {string} [password]
 * @property {number} [reply] what it answers instead of 0 (version 5) or 90 (version 4)
 * @property {(socket: net.Socket) => boolean | void} [onConnection] takes a connection for itself if it returns true
 * @property {string} [early] what it sends by itself after its answer
 */

/**
 * @param {import('./suite').Scope} scope
 * @param {Scripted} [script]
 * @returns {Promise<any>} `port`, what was `accepted`, and what it was `asked` for, as [version, host, port, user]; `cut()` closes all
 */
async function socksProxy(scope, { early = '', onConnection, password, reply, user } = {}) {
  /** @type {any[]} */
  const asked = []
  /** @type {Set<net.Socket>} */
  const sockets = new Set()
  const accepted = await plainServer(scope, async (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    if (onConnection?.(socket)) return
    try {
      await serve(socket, reader(socket))
    } catch {
      socket.destroy()
    }
  })

  /** @param {net.Socket} socket @param {ReturnType<typeof reader>} read */
  async function serve(socket, read) {
    const [version] = await read(1)
    const wanted = version === 4 ? await asVersion4(read) : await asVersion5(socket, read)
    if (wanted === undefined) return
    asked.push([version, ...wanted])
    const code = reply ?? (version === 4 ? 90 : 0)
    const answer = version === 4 ? [0, code, 0, 0, 0, 0, 0, 0] : [5, code, 0, 1, 127, 0, 0, 1, 0, 0]
    if (code !== 0 && code !== 90) {
      socket.end(Buffer.from(answer))
      return
    }
    const far = net.connect(wanted[1], '127.0.0.1', () => {
      read.stop()
      socket.write(Buffer.concat([Buffer.from(answer), Buffer.from(early)]))
      socket.pipe(far)
      far.pipe(socket)
    })
    far.on('error', () => socket.destroy())
    far.on('close', () => socket.destroy())
    socket.on('close', () => far.destroy())
  }

  /** @param {ReturnType<typeof reader>} read @returns {Promise<[string, number, string]>} */
  async function asVersion4(read) {
    const head = await read(7)
    const port = head.readUInt16BE(1)
    const who = await text(read)
    const isName = head[3] === 0 && head[4] === 0 && head[5] === 0
    return [isName ? await text(read) : head.subarray(3).join('.'), port, who]
  }

  /** @param {net.Socket} socket @param {ReturnType<typeof reader>} read @returns {Promise<[string, number, string] | undefined>} */
  async function asVersion5(socket, read) {
    const methods = await read((await read(1))[0])
    const method = user === undefined ? 0 : 2
    if (!methods.includes(method)) {
      socket.end(Buffer.from([5, 255]))
      return undefined
    }
    socket.write(Buffer.from([5, method]))
    let who = ''
    if (method === 2) {
      await read(1)
      who = `${await read((await read(1))[0])}:${await read((await read(1))[0])}`
      const isKnown = who === `${user}:${password}`
      socket.write(Buffer.from([1, isKnown ? 0 : 1]))
      if (!isKnown) return undefined
    }
    const kind = (await read(4))[3]
    const host = kind === 3 ? `${await read((await read(1))[0])}` : (await read(kind === 1 ? 4 : 16)).join('.')
    return [host, (await read(2)).readUInt16BE(0), who]
  }

  return {
    port: accepted.port,
    accepted,
    asked,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** @param {(bytes: number) => Promise<Buffer>} read */
async function text(read) {
  let said = ''
  for (;;) {
    const [byte] = await read(1)
    if (byte === 0) return said
    said += String.fromCharCode(byte)
  }
}

/** @param {net.Socket} socket */
function reader(socket) {
  let had = Buffer.alloc(0)
  /** @type {(() => void) | undefined} */
  let wake
  const onData = (/** @type {Buffer} */ chunk) => {
    had = Buffer.concat([had, chunk])
    wake?.()
  }
  socket.on('data', onData)
  socket.on('close', () => wake?.())
  const read = async (/** @type {number} */ bytes) => {
    while (had.length < bytes) {
      if (socket.destroyed || socket.readableEnded) throw new Error('closed')
      await new Promise((resolve) => (wake = () => resolve(undefined)))
    }
    const taken = had.subarray(0, bytes)
    had = had.subarray(bytes)
    return taken
  }
  read.stop = () => socket.off('data', onData)
  return read
}

module.exports = { socksProxy }
