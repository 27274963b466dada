'use strict'

// Runs a script of __test__/support/scripts in a process of its own and tells how it ended.

const { spawn } = require('node:child_process')
const path = require('node:path')

const { commandFor } = require('./runtime')

/**
 * @param {string} script name of a file in support/scripts, without its extension
 * @param {(string | number)[]} [args]
 * @param {{ env?: object, deadlineMs?: number, flags?: string[], sandboxed?: boolean, under?: string[] }} [options] the
 *   deadline ends a script that hangs; `flags` are the runtime's; `sandboxed`: Deno grants the script no more than they
 *   say; `under`: a command that runs the one that it is given
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string, lines: object[], late: boolean }>}
 */
function runScript(
  script,
  args = [],
  { env = {}, deadlineMs = 45_000, flags = [], sandboxed = false, under = [] } = {},
) {
  const { file, args: command } = commandFor(
    path.join(__dirname, 'scripts', `${script}.js`),
    args.map(String),
    flags,
    sandboxed,
  )
  const [program, ...rest] = [...under, file, ...command]
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    let stdout = ''
    let stderr = ''
    let late = false
    const deadline = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, deadlineMs)
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(deadline)
      const lines = stdout
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line))
      resolve({ code, signal, stdout, stderr, lines, late })
    })
  })
}

module.exports = { runScript }
