'use strict'

// What keepwire, the runtime's own agent, agentkeepalive and undici make of the situations in which keep-alive agents
// fail, and of the options against them: `npm run grid [-- http|https]`. Each row is a permanent test of ours; this shows
// them side by side.

const { spawnSync } = require('node:child_process')

const { readArguments } = require('../support/arguments')
const { places } = require('./grid/contenders')
const { options } = require('./grid/options')
const { situations } = require('./grid/situations')

const NAME_WIDTH = 48
const CELL_WIDTH = 30

const line = ([name, ...cells]) =>
  console.log(name.padEnd(NAME_WIDTH) + cells.map((cell) => cell.padEnd(CELL_WIDTH)).join(''))

/** @param {import('../support/schemes').Scheme} scheme */
async function show(scheme) {
  const contenders = await places(scheme)
  line([scheme.name, ...contenders.map(({ name }) => name)])
  for (const [situation, meet] of [...situations, ...options]) {
    const cells = []
    for (const place of contenders)
      cells.push(await meet(place).catch((error) => `error: ${error.code ?? error.message}`))
    line([situation, ...cells])
  }
}

const { chosen } = readArguments()
if (chosen.length === 1) show(chosen[0])
else {
  // keepwire warns once a process: each scheme has its own.
  for (const { name } of chosen) spawnSync(process.execPath, [__filename, name], { stdio: 'inherit' })
}
