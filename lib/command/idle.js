'use strict'

// When and how a server ends a connection that is idle. Watched on one of the runtime's own sockets, since keepwire's agents close
// theirs in time.

const http = require('node:http')
const https = require('node:https')

/** How often it says that it still waits. */
const TELL_MS = 1000

/** Bytes that are shown of what a server says. */
const SHOWN = 60

/**
 * @typedef {object} Idle
 * @property {'closed' | 'reset' | 'said' | 'open' | 'at-once' | 'failed'} how the server sent FIN, RST, bytes (then closed it or not); `open`: nothing
 *   happened; `at-once`: no connection was kept; `failed`: the request for it was not answered
 * @property {number} afterMs
 * @property {string} [said]
 */

/**
 * @param {URL} url
 * @param {Record<string, unknown>} agentOptions
 * @param {number} limitMs
 * @param {(line: string) => void} tell
 * @returns {Promise<Idle>}
 */
function watchIdle(url, agentOptions, limitMs, tell) {
  const { Agent, request } = url.protocol === 'https:' ? https : http
  const agent = new Agent({ ...agentOptions, keepAlive: true, timeout: undefined })
  // It would take the idle socket, heed a hint, and close it as soon as the server says anything.
  agent.removeAllListeners('free')
  return new Promise((resolve) => {
    /** @type {NodeJS.Timeout | undefined} */
    let ticking
    /** @type {import('node:net').Socket | undefined} */
    let idleSocket
    /** @param {Idle} idle */
    const settle = (idle) => {
      clearInterval(ticking)
      clearTimeout(timer)
      idleSocket?.destroy()
      agent.destroy()
      resolve(idle)
    }
    const asked = request(url, { agent })
    // For all of the response, or one that comes byte by byte would be waited for without end.
    const timer = setTimeout(() => asked.destroy(), limitMs)
    asked.on('error', () => settle({ how: 'failed', afterMs: 0 }))
    asked.on('response', (response) => {
      const { socket } = response
      idleSocket = socket
      response.on('error', () => settle({ how: 'failed', afterMs: 0 }))
      response.resume()
      response.on('end', () => {
        clearTimeout(timer)
        const began = performance.now()
        const since = () => Math.round(performance.now() - began)
        if (asked.shouldKeepAlive === false) return settle({ how: 'at-once', afterMs: 0 })
        socket.on('data', (/** @type {Buffer} */ bytes) => {
          settle({ how: 'said', afterMs: since(), said: JSON.stringify(bytes.toString('latin1').slice(0, SHOWN)) })
        })
        socket.on('end', () => settle({ how: 'closed', afterMs: since() }))
        socket.on('error', () => settle({ how: 'reset', afterMs: since() }))
        socket.on('close', () => settle({ how: 'closed', afterMs: since() }))
        ticking = setInterval(
          () => {
            const seconds = Math.round(since() / 1000)
            tell(`waiting for the server to close an idle connection: ${seconds} s of ${limitMs / 1000} s`)
            if (since() >= limitMs) settle({ how: 'open', afterMs: limitMs })
          },
          Math.min(TELL_MS, limitMs),
        )
      })
    })
    asked.end()
  })
}

module.exports = { watchIdle }
