'use strict'

// What the server gives a client in C that does nothing but send and count: wrk, if it is installed. No agent in
// JavaScript comes near it; it tells how much of a figure is the server's and the machine's.

const { spawn } = require('node:child_process')
const { once } = require('node:events')

const { number } = require('./table.js')

const CONNECTIONS = 50
// As many threads as nginx has workers.
const THREADS = 1
const MICROS = { us: 1, ms: 1e3, s: 1e6 }

/**
 * @param {{ origin: string, secureOrigin: string }} server
 * @param {number} seconds for each scheme
 * @returns {Promise<{ scheme: string, perSecond: number, medianMicros: number }[]>} none without wrk
 */
async function measureCeiling({ origin, secureOrigin }, seconds) {
  const measured = []
  for (const url of [`${origin}/small`, `${secureOrigin}/small`]) {
    const output = await wrk(['--latency', `-t${THREADS}`, `-c${CONNECTIONS}`, `-d${seconds}s`, url])
    if (output === undefined) return []
    measured.push({ scheme: new URL(url).protocol.slice(0, -1), ...figures(output) })
  }
  return measured
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

/** One line; empty if nothing was measured. */
function ceilingLine(measured) {
  if (measured.length === 0) return ''
  const told = measured.map(
    ({ scheme, perSecond, medianMicros }) =>
      `${scheme} ${number(perSecond, 0)} requests/s, median latency ${number(medianMicros, 0)} µs`,
  )
  return `What nginx gives a client in C that does nothing else (wrk, ${CONNECTIONS} connections): ${told.join('; ')}`
}

module.exports = { ceilingLine, measureCeiling }
