'use strict'

// Runs a small program in a process of its own, after keepwire/register if asked, and gives the value it printed as JSON.

const { spawn } = require('node:child_process')
const path = require('node:path')

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
function runProgram(name, { register = false, args = [], env = {} } = {}) {
  const before = register === true ? BEFORE[runtimeName] : register || []
  const flags = register === false ? [] : [...before, REGISTER]
  const command = [
    ...(runtimeName === 'deno' ? ['run', '-A', '--quiet', '--no-lock'] : []),
    ...flags,
    path.join(__dirname, 'programs', name),
    ...args.map(String),
  ]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    let stdout = ''
    let stderr = ''
    const deadline = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      const line = stdout.trim().split('\n').pop()
      if (code !== 0 || !line) reject(new Error(`${name} ended with ${code ?? signal}:\n${stdout}${stderr}`))
      else resolve(JSON.parse(line))
    })
  })
}

module.exports = { runProgram }
