'use strict'

// What requests pay for a bomb beside them: see HELP.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const { readArguments } = require('../support/arguments')
const { bombard, connect, innocents, readings } = require('../support/beside')
const { startRemote } = require('../support/remote')
const { trusting } = require('../support/schemes')

const HELP = `npm run beside [-- rounds [ms [seed]]] [http|https]

Requests one after another, by fetch and by http.request, alone, beside bombs (responses of some kilobytes that decode to 10 GB),
beside the same bombs in another process, which shows what the machine's cores are worth, and beside as many responses of some
bytes: each on a connection of its own, as those behind a bomb that is refused. In each round (10 unless told otherwise) all four
last so long (1,000 ms). Prints the medians over all rounds of p50 and p99. Ends with code 1 if p99 beside a bomb is more than
twice that without, and more than 1.5 times that beside another process's; or if a request gets another body than its own.`

const MOST = 2
/** On two cores a bomb in any process costs the requests of all of them some of their time. */
const MOST_OF_ANOTHER = 1.5
const BOMBER = path.join(__dirname, '..', 'support', 'scripts', 'bomber.js')

/** Bombs that another process reads. */
async function bombardFromOutside(told) {
  const child = fork(BOMBER)
  const ended = once(child, 'exit').then(([code]) => {
    if (code !== 0) throw new Error(`the other process ended with ${code}`)
  })
  child.send(told)
  await Promise.race([once(child, 'message'), ended])
  return () => {
    child.send('enough')
    return ended
  }
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
const sorted = (numbers) => numbers.slice().sort((a, b) => a - b)
const median = (numbers) => at(sorted(numbers), 0.5)

/** What windows of the same kind came to. */
class Windows {
  #p50s = []
  #p99s = []
  #requests = 0

  add(took) {
    const inOrder = sorted(took)
    this.#p50s.push(at(inOrder, 0.5))
    this.#p99s.push(at(inOrder, 0.99))
    this.#requests += took.length
  }

  get p99() {
    return median(this.#p99s)
  }

  toString() {
    return `p50 ${median(this.#p50s).toFixed(2)} ms, p99 ${this.p99.toFixed(2)} ms (${this.#requests} requests)`
  }
}

/** @param {import('../support/schemes').Scheme} scheme */
async function over(scheme, { rounds, ms, seed }) {
  const identity = await scheme.identity()
  const remote = await startRemote('hostile-peer.js', { identity })
  const agent = new scheme.Agent(trusting({ keepAlive: true }, identity))
  const fresh = new scheme.Agent(trusting({ keepAlive: false }, identity))
  const origin = `${scheme.name}://127.0.0.1:${remote.port}`
  let windows = 0
  const window = async (lasting) => {
    const end = performance.now() + lasting
    return innocents({
      origin,
      port: remote.port,
      agent,
      seed: seed + windows++,
      goesOn: () => performance.now() < end,
    })
  }
  try {
    for (const reading of Object.keys(readings)) {
      const [alone, beside, outside, control] = [new Windows(), new Windows(), new Windows(), new Windows()]
      let count = 0
      // The server makes its bomb, and the runtime compiles what is hot.
      const first = bombard({ origin, agent, reading })
      await first.begun
      await window(ms)
      await first.stop()
      for (let round = 0; round < rounds; round++) {
        alone.add(await window(ms))
        const bombs = bombard({ origin, agent, reading })
        await bombs.begun
        beside.add(await window(ms))
        const made = await bombs.stop()
        count += made
        const stop = await bombardFromOutside({ scheme: scheme.name, origin, reading, identity })
        outside.add(await window(ms))
        await stop()
        const others = connect({ origin, agent: fresh, everyMs: ms / made })
        control.add(await window(ms))
        await others.stop()
      }
      const ratio = beside.p99 / alone.p99
      const ofAnother = beside.p99 / outside.p99
      const holds = ratio <= MOST || ofAnother <= MOST_OF_ANOTHER
      if (!holds) process.exitCode = 1
      console.log(`${holds ? 'good ' : 'WRONG'}  ${scheme.name}: a bomb ${reading}: p99 ${ratio.toFixed(2)} times`)
      console.log(`       alone  ${alone}\n       beside ${beside}`)
      console.log(`       beside another process's ${outside}, ${ofAnother.toFixed(2)} times that`)
      const shares = `${(control.p99 / alone.p99).toFixed(2)} times alone`
      console.log(`       beside ${(count / rounds).toFixed(1)} connections a window: ${control}, ${shares}`)
    }
  } finally {
    agent.destroy()
    fresh.destroy()
    await remote.stop()
  }
}

async function main() {
  const args = process.argv.slice(2)
  if (args.includes('--help')) return console.log(HELP)
  const { numbers, chosen } = readArguments(args)
  const [rounds = 10, ms = 1_000, seed = Date.now() % 1_000_000] = numbers
  console.log(`seed ${seed}`)
  for (const scheme of chosen) await over(scheme, { rounds, ms, seed })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
