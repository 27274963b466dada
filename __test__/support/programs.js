'use strict'

// Runs a script of __test__/programs/scripts beside a package that scripts/programs.js fetches, in a process of its own, and
// gives the value that it printed last, as JSON.

const path = require('node:path')

const { homeOf, isFetched, programNamed } = require('../../scripts/programs')
const { lastValue } = require('./child')
const { commandFor, isNode, major } = require('./runtime')

const DEADLINE_MS = 60_000

/**
 * Why a program's tests are skipped here, if so. One that is missing where it runs is no reason.
 * @param {string} name in the table of scripts/programs.js
 */
function skipped(name) {
  const { elsewhere, node } = programNamed(name)
  if (!isNode) return !elsewhere && `${name} runs on Node alone`
  return major < node && `${name} needs Node ${node}`
}

/**
 * @param {string} script a file in programs/scripts, without its extension
 * @param {{ program?: string, args?: unknown[], flags?: string[], env?: object }} [options]
 */
async function runBeside(script, { program, args = [], flags = [], env = {} } = {}) {
  if (program !== undefined && !isFetched(programNamed(program))) {
    throw new Error(`${program} is missing: npm run programs`)
  }
  const file = path.join(__dirname, '..', 'programs', 'scripts', `${script}.js`)
  const { file: command, args: first } = commandFor(file, args.map(String))
  const { value, stderr } = await lastValue(script, command, [...flags, ...first], {
    env: { KEEPWIRE_PROGRAM: program === undefined ? '' : homeOf(program), ...env },
    deadlineMs: DEADLINE_MS,
  })
  return { ...value, stderr }
}

module.exports = { runBeside, skipped }
