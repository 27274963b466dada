'use strict'

// What the server gives a client in C that does nothing else: wrk, if it is installed. An aim that it does not reach is
// above what server and machine have to give.

const { spawn } = require('node:child_process')
const { once } = require('node:events')

// As many threads as nginx has workers.
const THREADS = 1
const MICROS = { us: 1, ms: 1e3, s: 1e6 }

/** wrk's figures for the loads of the cases, each measured once. */
class Ceiling {
  #server
  #seconds
  /** @type {Map<string, Promise<object | null>>} */
  #measured = new Map()

  /**
   * @param {{ origin: string, secureOrigin: string }} server
   * @param {number} seconds for each load
   */
  constructor(server, seconds) {
    this.#server = server
    this.#seconds = seconds
  }

  /** @returns {Promise<{ perSecond: number, medianMicros: number } | null>} null: not installed, or no such load */
  async of({ clients, http2, maxSockets, path, postBytes, proxied, secure, slow, streamBytes }) {
    // It has no more clients than connections, sends no bodies, and knows neither HTTP/2 nor proxies.
    if (clients !== maxSockets || postBytes !== undefined || streamBytes !== undefined || slow || http2 || proxied)
      return null
    const url = (secure ? this.#server.secureOrigin : this.#server.origin) + path
    const args = ['--latency', `-t${THREADS}`, `-c${clients}`, `-d${this.#seconds}s`, url]
    const load = args.join(' ')
    if (!this.#measured.has(load)) this.#measured.set(load, measure(args))
    return this.#measured.get(load)
  }
}

async function measure(args) {
  const output = await wrk(args)
  return output === undefined ? null : figures(output)
}

/** @returns {Promise<string | undefined>} undefined: it is not installed */
async function wrk(args) {
  const child = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  const [code] = await once(child, 'close').catch((error) => {
    if (error.code === 'ENOENT') return [undefined]
    throw error
  })
  if (code === undefined) return undefined
  if (code !== 0) throw new Error(`wrk ended with ${code}: ${output}`)
  return output
}

/** @param {string} output of wrk --latency */
function figures(output) {
  const [, latency, unit] = /^\s*50%\s+([\d.]+)(us|ms|s)$/m.exec(output) ?? []
  const [, perSecond] = /^Requests\/sec:\s+([\d.]+)$/m.exec(output) ?? []
  if (latency === undefined || perSecond === undefined) throw new Error(`wrk says nothing known: ${output}`)
  return { perSecond: Number(perSecond), medianMicros: Number(latency) * MICROS[unit] }
}

module.exports = { Ceiling }
