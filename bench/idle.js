'use strict'

// What memory an idle connection takes: a process a side opens many, and looks at its resident set before and after.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const { UserError } = require('../scripts/report.js')

const SIDE = path.join(__dirname, 'side', 'idle.js')

/** `most`: kilobytes a connection that ours may take. */
const idleCases = [
  { name: 'idle-http', title: '10,000 idle connections', connections: 10_000, most: 8 },
  { name: 'idle-https', title: '2,000 idle connections over TLS', connections: 2_000, secure: true, most: 30 },
]

/**
 * @param {object[]} cases of idleCases
 * @param {{ runtime: object, server: object }} setting
 */
async function measureIdle(cases, { runtime, server: { ca, slow } }) {
  const results = []
  for (const { name, title, connections, secure, most } of cases) {
    const origin = secure ? slow.secureOrigin : slow.origin
    const sides = []
    for (const maker of ['keepwire', 'runtime']) {
      sides.push({ name: maker, ...(await measure(runtime, { maker, connections, origin, ca })) })
    }
    results.push({ name, title, most, sides })
  }
  return results
}

/** @returns {Promise<{ kilobytes: number }>} a connection */
async function measure(runtime, task) {
  const flags = runtime.name === 'Node' ? ['--expose-gc'] : []
  const args = [...runtime.args, ...flags, SIDE, JSON.stringify(task)]
  const child = spawn(runtime.command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (piece) => {
    text += piece
  })
  const [code] = await once(child, 'close')
  if (code !== 0)
    throw new UserError(`${task.connections} connections by ${task.maker}: the process ended with ${code}`)
  return JSON.parse(text)
}

/** @param {object[]} results of measureIdle */
function idleLines(results) {
  return results.flatMap(({ title, most, sides }) => {
    const ours = sides[0].kilobytes
    const cells = sides.map(({ name, kilobytes }) => `${name} ${kilobytes.toFixed(1)} KB`)
    const verdict = ours <= most ? '✓ reached' : '✗ not reached'
    return [
      `${title}, each: ${cells.join(', ')}`,
      `aim: ${title}: at most ${most} KB each: ${ours.toFixed(1)} KB ${verdict}`,
    ]
  })
}

module.exports = { idleCases, idleLines, measureIdle }
