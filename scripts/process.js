'use strict'

const { spawn } = require('node:child_process')
const path = require('node:path')

const root = path.resolve(__dirname, '..')
const isWindows = process.platform === 'win32'

/**
 * @typedef {object} Outcome
 * @property {number} code exit code; 1 if a signal ended the process
 * @property {string} stdout empty unless captured
 * @property {string} output stdout and stderr as they came, empty unless captured
 * @property {boolean} timedOut the process was ended because it took too long
 */

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd] default: the repository
 * @property {NodeJS.ProcessEnv} [env] added to this process's own
 * @property {'none' | 'stdout' | 'both'} [capture] what to collect instead of showing it; default 'none'
 * @property {number} [timeoutMs] end the process, and what it started, after this long; default: never
 * @property {boolean} [shell] default false
 */

/** What ends the processes that a Ctrl-C at the terminal would not reach, being in groups of their own. @type {Set<() => void>} */
const running = new Set()

function endAll() {
  for (const end of running) end()
}

process.once('exit', endAll)
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

/**
 * Runs a program to its end, with standard input closed. Rejects only if it can't be started.
 * @param {string} file
 * @param {string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Outcome>}
 */
function run(file, args, { cwd = root, env, capture = 'none', timeoutMs = 0, shell = false } = {}) {
  return new Promise((resolve, reject) => {
    const piped = (/** @type {boolean} */ wanted) => (wanted ? 'pipe' : 'inherit')
    // A process group of its own lets a time-out reach what the program started as well.
    const ownGroup = timeoutMs > 0 && !isWindows
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', piped(capture !== 'none'), piped(capture === 'both')],
      detached: ownGroup,
      shell,
    })
    const outcome = { code: 1, stdout: '', output: '', timedOut: false }
    const end = () => {
      if (ownGroup && child.pid !== undefined) {
        try {
          process.kill(-child.pid, 'SIGKILL')
          return
        } catch {
          // The group is gone already.
        }
      }
      child.kill('SIGKILL')
    }
    if (ownGroup) running.add(end)
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined
    function late() {
      outcome.timedOut = true
      end()
    }
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      outcome.stdout += text
      outcome.output += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      outcome.output += text
    })
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      running.delete(end)
      outcome.code = code ?? 1
      resolve(outcome)
    })
  })
}

/**
 * Runs npm: the one that runs this script, if one does.
 * @param {string[]} args
 * @param {RunOptions} [options]
 */
function runNpm(args, options) {
  const cli = process.env.npm_execpath
  if (cli !== undefined && /^npm-cli\.c?js$/.test(path.basename(cli))) {
    return run(process.execPath, [cli, ...args], options)
  }
  return run('npm', args, { ...options, shell: isWindows })
}

module.exports = { isWindows, root, run, runNpm }
