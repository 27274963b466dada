'use strict'

// Runs a command, or a script of __test__/support/scripts, in a process of its own and tells how it ended.

const { spawn } = require('node:child_process')
const path = require('node:path')

const { commandFor } = require('./runtime')

/**
 * @param {string} file
 * @param {string[]} args
 * @param {{ env: object, deadlineMs: number }} options the deadline ends what hangs
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string, late: boolean }>}
 */
function run(file, args, { env, deadlineMs }) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
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
      resolve({ code, signal, stdout, stderr, late })
    })
  })
}

/**
 * As run(), of what must end well and print a value as JSON, last.
 * @param {string} name for whoever reads that it did not
 * @param {string} file
 * @param {string[]} args
 * @param {{ env: object, deadlineMs: number }} options
 * @returns {Promise<{ value: any, stderr: string }>}
 */
async function lastValue(name, file, args, options) {
  const { code, signal, stdout, stderr } = await run(file, args, options)
  const line = stdout.trim().split('\n').pop()
  if (code !== 0 || !line) throw new Error(`${name} ended with ${code ?? signal}:\n${stdout}${stderr}`)
  return { value: JSON.parse(line), stderr }
}

/**
 * @param {string} script name of a file in support/scripts, without its extension
 * @param {(string | number)[]} [args]
 * @param {{ env?: object, deadlineMs?: number, flags?: string[], sandboxed?: boolean, under?: string[] }} [options] the
 *   deadline ends a script that hangs; `flags` are the runtime's; `sandboxed`: Deno grants the script no more than they
 *   say; `under`: a command that runs the one that it is given
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string, lines: object[], late: boolean }>}
 */
async function runScript(
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
  const ended = await run(program, rest, { env, deadlineMs })
  const lines = ended.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  return { ...ended, lines }
}

module.exports = { lastValue, runScript }
