'use strict'

// Requests beside bombs: responses of some kilobytes that stand for 10 GB (support/hostile-peer.js serves both).

const { random, send } = require('./client')

/** A bomb that is read whole is refused when it has decoded to this; the next one begins. */
const MOST_DECODED = 64 * 1024 * 1024
const TOO_LARGE = 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE'

/** Ways to read a bomb; each is over sooner or later, or when it is given up. */
const readings = {
  'read whole': async (response) => void (await response.text()),
  'read piece by piece': async (response) => {
    for await (const _ of response.body);
  },
}

/**
 * Has a bomb under way at any time, until it is stopped.
 * @param {{ origin: string, agent?: any, reading: keyof typeof readings }} options
 * @returns {{ begun: Promise<void>, stop: () => Promise<number> }} `stop` tells how many there were; rejects if one ended
 *   otherwise than it should
 */
function bombard({ origin, agent, reading }) {
  const { fetch } = require('../..')
  const controller = new AbortController()
  const { signal } = controller
  const maxResponseSize = reading === 'read whole' ? MOST_DECODED : undefined
  let count = 0
  let hasBegun = () => {}
  const begun = new Promise((resolve) => {
    hasBegun = () => resolve(undefined)
  })
  const one = async () => {
    const response = await fetch(`${origin}/bomb`, { agent, signal, maxResponseSize })
    count++
    hasBegun()
    await readings[reading](response)
  }
  const all = async () => {
    while (!signal.aborted) {
      try {
        await one()
      } catch (error) {
        if (!signal.aborted && error.cause?.code !== TOO_LARGE) throw error
      }
    }
    return count
  }
  const over = all()
  // Told by stop().
  over.catch(() => {})
  const stop = () => {
    controller.abort()
    return over
  }
  return { begun: Promise.race([begun, over.then(() => {})]), stop }
}

/**
 * Has a connection opened every so many ms for a response of some bytes, until it is stopped.
 * @param {{ origin: string, agent: any, everyMs: number }} options `agent` keeps none
 * @returns {{ stop: () => Promise<void> }} rejects if one has failed
 */
function connect({ origin, agent, everyMs }) {
  const { fetch } = require('../..')
  const made = []
  const one = async () => void (await (await fetch(`${origin}/own/fresh`, { agent })).text())
  const timer = setInterval(() => {
    const response = one()
    // Told by stop().
    response.catch(() => {})
    made.push(response)
  }, everyMs)
  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(made)
    },
  }
}

/**
 * Requests one after another, by fetch and by the runtime's own request; each must get its own body.
 * @param {{ origin: string, port: number, agent: any, seed: number, goesOn: (done: number) => boolean }} options
 * @returns {Promise<number[]>} how long each took, in ms
 */
async function innocents({ origin, port, agent, seed, goesOn }) {
  const { fetch } = require('../..')
  const next = random(seed)
  const took = []
  while (goesOn(took.length)) {
    const own = `${Math.floor(next() * 1e9)}`
    const began = performance.now()
    const body =
      next() < 0.5
        ? await (await fetch(`${origin}/own/${own}`, { agent })).text()
        : (await send({ port, path: `/own/${own}`, agent })).body
    took.push(performance.now() - began)
    if (body !== own) throw new Error(`got ${JSON.stringify(body.slice(0, 80))} in place of ${own}`)
  }
  return took
}

module.exports = { bombard, connect, innocents, readings }
