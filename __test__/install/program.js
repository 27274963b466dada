'use strict'

// Runs a small program in a process of its own, after keepwire/register if asked, and gives the value it printed as JSON.

const path = require('node:path')

const { lastValue } = require('../support/child')
const { runtimeName } = require('../support/runtime')

const REGISTER = require.resolve('keepwire/register')
const DEADLINE_MS = 30_000

/** How each runtime loads a CommonJS module before the program. */
const BEFORE = { node: ['--require'], bun: ['--preload'], deno: ['--require'] }

/**
 * @param {string} name a file in ./programs
 * @param {{ register?: boolean | string[], args?: (string | number)[], env?: object }} [options] `register`: the flags, or
 *   the usual ones
 */
async function runProgram(name, { register = false, args = [], env = {} } = {}) {
  const before = register === true ? BEFORE[runtimeName] : register || []
  const flags = register === false ? [] : [...before, REGISTER]
  const command = [
    ...(runtimeName === 'deno' ? ['run', '-A', '--quiet', '--no-lock'] : []),
    ...flags,
    path.join(__dirname, 'programs', name),
    ...args.map(String),
  ]
  const { value } = await lastValue(name, process.execPath, command, { env, deadlineMs: DEADLINE_MS })
  return value
}

module.exports = { runProgram }
