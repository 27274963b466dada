'use strict'

// On two virtual cores a client that has two threads runs in one of two regimes: both on one core, where every figure is the sum of all
// CPU, or each on its own, where waking an idle core is what takes time. `--pin` holds one of them (Linux, taskset of util-linux).

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')

const { UserError } = require('../scripts/report.js')

const REGIMES = ['packed', 'split']
const CLIENT_CORE = '0'
const SERVER_CORE = '1'

/** What goes before the command of a client. @param {string | undefined} regime @returns {string[]} */
function clientPrefix(regime) {
  return regime === 'packed' ? ['taskset', '-c', CLIENT_CORE] : []
}

/** What goes before the command of a server. @param {string | undefined} regime @returns {string[]} */
function serverPrefix(regime) {
  return regime === undefined ? [] : ['taskset', '-c', SERVER_CORE]
}

/** The JavaScript thread on a core of its own, the others beside the server. @param {number} pid */
function spread(pid) {
  for (const id of fs.readdirSync(`/proc/${pid}/task`)) {
    const core = Number(id) === pid ? CLIENT_CORE : SERVER_CORE
    const { error } = spawnSync('taskset', ['-cp', core, id], { stdio: 'ignore' })
    if (error) throw new UserError(`--pin needs taskset: ${error.message}`)
  }
}

module.exports = { clientPrefix, REGIMES, serverPrefix, spread }
