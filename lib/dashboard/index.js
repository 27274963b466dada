'use strict'

// dashboard(): a server of its own, or a handler for a program's.

const http = require('node:http')
const { once } = require('node:events')
const { isMainThread } = require('node:worker_threads')

const { invalidValue, notA, outOfRange } = require('../common/errors.js')
const { isLoopback } = require('./guard.js')
const { Board } = require('./handler.js')

/** @typedef {{ token?: string, hosts?: string[] }} HandlerOptions */
/** @typedef {HandlerOptions & { port?: number, host?: string }} Options */

const PORT = 9230
/** As many as --inspect's port of a cluster may need. */
const MOST_TRIES = 32

/**
 * A function of (request, response, next), for http.createServer, Express and their like.
 * @param {HandlerOptions} [options]
 */
function handler(options = {}) {
  const board = new Board(options)
  return (/** @type {any} */ request, /** @type {any} */ response, /** @type {any} */ next) =>
    board.handle(request, response, next)
}

/**
 * Starts a server that shows what the process's connections do. It keeps no process alive.
 * @param {Options} [options]
 */
async function dashboard({ host = '127.0.0.1', port = PORT, ...options } = {}) {
  if (typeof port !== 'number') throw notA('number', 'port', port)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw outOfRange('port', 'a port, 0 to 65535', port)
  if (typeof host !== 'string') throw notA('string', 'host', host)
  if (!isLoopback(host) && options.token === undefined) {
    throw invalidValue('token', options.token, 'must be given where the host is not a loopback address')
  }
  const board = new Board(options)
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  const server = http.createServer((request, response) => board.handle(request, response, undefined))
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.unref?.()
  })
  server.listen({ host, port, exclusive: true })
  await once(server, 'listening')
  server.unref()
  const bound = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    port: bound.port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}/`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      board.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

dashboard.handler = handler

/**
 * What KEEPWIRE_DASHBOARD asks for: a port, or a host and a port.
 * @param {string} text
 */
function parsed(text) {
  const [, bracketed, plain, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text) ?? []
  if (port === undefined) throw invalidValue('KEEPWIRE_DASHBOARD', text, 'must be a port, or a host and a port')
  return { host: bracketed ?? plain, port: Number(port) }
}

/** Starts a dashboard if the environment asks for one. Of a process, its main thread does. */
function fromEnvironment() {
  const { KEEPWIRE_DASHBOARD: text, KEEPWIRE_DASHBOARD_TOKEN: token } = process.env
  if (!text || !isMainThread) return
  start({ ...parsed(text), ...(token ? { token } : {}) }).catch((error) => {
    process.emitWarning(`the dashboard could not be started: ${error.message}`, { type: 'KeepwireWarning' })
  })
}

/**
 * Processes that inherit the environment take the next ports, as those of --inspect do.
 * @param {Options & { port: number }} options
 */
async function start({ port, ...options }) {
  for (let tried = 0; ; tried += 1) {
    try {
      const { url } = await dashboard({ ...options, port: port === 0 ? 0 : port + tried })
      process.stderr.write(`keepwire: dashboard of process ${process.pid} on ${url}\n`)
      return
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'EADDRINUSE' || tried === MOST_TRIES) throw error
    }
  }
}

module.exports = { dashboard, fromEnvironment }
