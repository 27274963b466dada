'use strict'

// What loading keepwire costs, and the first request after it: fresh processes, in turns. keepwire is loaded as it is installed, its
// modules in one file.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { writeBundle } = require('../scripts/bundle.js')
const { root } = require('../scripts/process.js')
const { UserError } = require('../scripts/report.js')
const { median } = require('./summary.js')

const SIDE = path.join(__dirname, 'side', 'start-up.js')

const METRICS = {
  wallMs: 'process, ms',
  cpuMs: 'CPU, ms',
  rssMb: 'RSS, MB',
  loadMs: 'loading, ms',
  requestMs: 'request, ms',
}

/** The names by which these are asked for. Each is beside its first side; `most`: what ours may cost above that. */
const startCases = [
  {
    name: 'start-up',
    title: 'a process that loads …',
    sides: ({ packed, before }) => [
      { name: 'node:http', load: ['node:http'] },
      { name: 'node:http, node:https', load: ['node:http', 'node:https'] },
      { name: 'keepwire', load: [packed] },
      ...(before === undefined ? [] : [{ name: 'keepwire, before', load: [before] }]),
    ],
    most: { wallMs: 12, cpuMs: 12, rssMb: 8 },
  },
  {
    name: 'first-request',
    title: 'the first request over TLS in a process, by the agent of …',
    sides: ({ packed, before, secureOrigin: origin, ca }) => [
      { name: 'node:https', load: ['node:https'], origin, ca },
      { name: 'keepwire', load: [packed], origin, ca },
      ...(before === undefined ? [] : [{ name: 'keepwire, before', load: [before], origin, ca }]),
    ],
    most: { requestMs: 10 },
  },
]

/** @returns {string} a folder with the package */
function pack() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-bench-'))
  for (const name of ['index.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
  }
  writeBundle(folder)
  return folder
}

/** Starts a process, and tells what it took. */
async function start(runtime, task) {
  const startedAt = performance.now()
  const child = spawn(runtime.command, [...runtime.args, SIDE, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new UserError(`a process that loads ${task.load.at(-1)} ended with ${code}`)
  return { wallMs: performance.now() - startedAt, ...JSON.parse(text) }
}

/**
 * @param {object[]} cases of startCases
 * @param {{ pace: object, runtime: object, against?: string, server: object }} setting
 */
async function measureStarts(cases, { pace, runtime, against, server: { secureOrigin, ca } }) {
  const packed = pack()
  try {
    const results = []
    for (const { name, title, sides: sidesOf, most } of cases) {
      const sides = sidesOf({ packed, before: against, secureOrigin, ca }).map((task) => ({ ...task, rounds: [] }))
      // The first of each reads its files from the disk.
      for (const { load, origin, ca } of sides) await start(runtime, { load, origin, ca })
      for (let round = 0; round < pace.starts; round++) {
        for (const { load, origin, ca, rounds } of sides) rounds.push(await start(runtime, { load, origin, ca }))
      }
      results.push({ name, title, most, sides: sides.map(({ name, rounds }) => ({ name, medians: medians(rounds) })) })
    }
    return results
  } finally {
    fs.rmSync(packed, { recursive: true, force: true })
  }
}

function medians(rounds) {
  return Object.fromEntries(
    Object.keys(METRICS).map((metric) => [metric, median(rounds.map((round) => round[metric]))]),
  )
}

/** @param {object[]} results of measureStarts */
function startLines(results) {
  return results.flatMap(({ title, most, sides }) => {
    const used = Object.keys(METRICS).filter((metric) => sides[0].medians[metric] !== null)
    const above = (side, metric) => side.medians[metric] - sides[0].medians[metric]
    const ours = sides.find(({ name }) => name === 'keepwire')
    return [
      title.padEnd(26) + used.map((metric) => METRICS[metric].padStart(22)).join(''),
      ...sides.map((side) => {
        const cells = used.map((metric) => {
          const more = side === sides[0] ? '' : ` (+${above(side, metric).toFixed(1)})`
          return `${side.medians[metric].toFixed(1)}${more}`.padStart(22)
        })
        return `  ${side.name}`.padEnd(26) + cells.join('')
      }),
      ...Object.entries(most).map(([metric, limit]) => {
        const more = above(ours, metric)
        const verdict = more <= limit ? '✓ reached' : '✗ not reached'
        return `aim: ${METRICS[metric]}: at most ${limit} above ${sides[0].name}: ${more.toFixed(1)} ${verdict}`
      }),
      '',
    ]
  })
}

module.exports = { measureStarts, startCases, startLines }
