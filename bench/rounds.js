'use strict'

// Runs one case: a process for each side, all warmed up, then rounds in turn.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const readline = require('node:readline')

const { UserError } = require('../scripts/report.js')
const { clientPrefix, spread } = require('./pin.js')
const { sideNames } = require('./side/clients.js')

const SIDE = path.join(__dirname, 'side', 'index.js')

/**
 * @param {object} scenario of cases.js
 * @param {{ pace: object, runtime: object, against?: string, server: object, pin?: string, note(line: string): void }} setting
 * @returns {Promise<{ name: string, rounds: object[] }[]>} keepwire first; a peer that can't run here is left out, with a note
 */
async function measureCase(scenario, { pace, runtime, against, server, pin, note }) {
  const sides = []
  try {
    const names = scenario.sides ?? sideNames
    sides.push(...names.map((name) => startSide(name, scenario, runtime, server, { like: names[0], against, pin })))
    for (const side of [...sides]) {
      const { unavailable } = await side.next()
      if (unavailable === undefined) continue
      if (side === sides[0])
        throw new UserError(`${side.name} cannot run on ${runtime.name} ${runtime.version}: ${unavailable}`)
      note(`${side.name} cannot run here and is left out (${unavailable})`)
      sides.splice(sides.indexOf(side), 1)
      await side.stop()
    }
    for (const side of sides) {
      await side.round(pace.warmUpMs)
      // Its threads are all there by now.
      if (pin === 'split') spread(side.pid)
    }
    for (let round = 0; round < pace.rounds; round++) {
      for (const side of sides) side.rounds.push(await side.round(pace.roundMs))
    }
    return sides.map(({ name, rounds }) => ({ name, rounds }))
  } finally {
    await Promise.all(sides.map((side) => side.stop()))
  }
}

/** Speaks with a side's process in lines of JSON; the end of its input ends it. */
function startSide(name, scenario, runtime, server, { like, against, pin }) {
  const code = name === 'before' ? { maker: like, folder: against } : { maker: name, like }
  const { ca, proxies, relays } = server
  const { origin, secureOrigin } = scenario.slow ? server.slow : server
  const at = scenario.http2 ? server.http2Origin : scenario.secure ? secureOrigin : origin
  const task = JSON.stringify({ ...code, scenario, origin: at, ca, proxies, relays })
  const [command, ...args] = [...clientPrefix(pin), runtime.command, ...runtime.args, SIDE, task]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'exit')
  const next = async () => {
    const { done, value } = await lines.next()
    if (done) throw new UserError(`the process of ${name} ended in the middle of "${scenario.title}"`)
    const message = JSON.parse(value)
    if (message.error !== undefined) throw new UserError(`"${scenario.title}" failed for ${name}: ${message.error}`)
    return message
  }
  return {
    name,
    pid: child.pid,
    rounds: [],
    next,
    round(durationMs) {
      child.stdin.write(`${JSON.stringify({ durationMs })}\n`)
      return next()
    },
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}

module.exports = { measureCase }
