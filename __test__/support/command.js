'use strict'

// Runs `keepwire` as a user would, but without a terminal.

const { spawn } = require('node:child_process')
const path = require('node:path')

const { commandFor } = require('./runtime')

const PROGRAM = path.join(__dirname, '../../bin/keepwire.js')

/**
 * Arguments, and options of spawn() behind them.
 * @returns {Promise<{ code: number, stdout: string, stderr: string }>}
 */
function keepwire(...args) {
  const options = typeof args.at(-1) === 'object' ? args.pop() : {}
  const command = commandFor(PROGRAM, args.map(String), [], false)
  const child = spawn(command.file, command.args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

module.exports = { keepwire }
