'use strict'

// The closure race: requests that start just when the server closes their idle connection. The server counts how often
// it has read each request, so nothing that was done twice stays hidden.

const { random } = require('./client')
const { startRemote } = require('./remote')

/** The server closes, and requests come, up to this long before and after its idle timeout. */
const SPREAD_MS = 5

/**
 * @typedef {object} Racer
 * @property {string} name
 * @property {(request: { port: number, path: string, method: string, proxy?: string }) => Promise<string>} send gives the body
 * @property {() => unknown} close
 */

/**
 * @param {Racer} racer
 * @param {{ method: string, requests: number, seed: number, idleMs?: number, lanes?: number, identity?: import('./listener').Identity, http2?: boolean, isProxied?: boolean }} run
 *   `idleMs`: the server's idle timeout; with an identity over TLS; `isProxied`: through a proxy, which is who closes: tunnels over TLS, else
 *   connections on which requests name their targets
 */
async function race(
  racer,
  { method, requests, seed, idleMs = 5, lanes = 40, identity, http2 = false, isProxied = false },
) {
  const remote = await startRemote('racing-peer.js', { args: [String(idleMs), http2 ? 'http2' : ''], identity })
  const via = isProxied ? { proxy: `http://127.0.0.1:${identity ? remote.proxyPort : remote.port}` } : undefined
  const next = random(seed)
  const errors = new Map()
  let wrong = 0
  let id = 0
  const lane = async () => {
    while (id < requests) {
      const path = `/${++id}`
      try {
        if ((await racer.send({ port: remote.port, path, method, ...via })) !== path.slice(1)) wrong++
      } catch (error) {
        errors.set(path.slice(1), error.code ?? error.message)
      }
      const pause = idleMs + (next() * 2 - 1) * SPREAD_MS
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, pause)))
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const { accepted, seen } = await remote.counts()
  await racer.close()
  await remote.stop()
  const times = new Map(seen)
  let duplicates = 0
  for (const count of times.values()) if (count > 1) duplicates += count - 1
  const codes = {}
  let unread = 0
  for (const [failed, code] of errors) {
    codes[code] = (codes[code] || 0) + 1
    if (!times.has(failed)) unread++
  }
  return { errors: errors.size, unread, codes, wrong, duplicates, connections: accepted, requests: id }
}

module.exports = { race }
