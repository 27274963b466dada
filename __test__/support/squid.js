'use strict'

// A squid of the test's own, where one is installed, and what it logs.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { installed } = require('./installed')
const { answers, freePort } = require('./ports')
const { turns, until } = require('./wait')

const program = installed('squid')
// It can't be told to take any free port.
const TRIES = 5
let started = 0

/**
 * @param {import('./suite').Scope} scope it ends with the test
 * @param {{ user?: string, password?: string }} [login] whom it lets through; everybody, if it is not said
 */
async function startSquid(scope, login = {}) {
  for (let tries = 1; ; tries++) {
    const port = await freePort()
    const squid = await listens(scope, port, login)
    if (squid !== undefined) return squid
    if (tries === TRIES) throw new Error('squid does not listen')
  }
}

/**
 * @param {import('./suite').Scope} scope
 * @param {number} port
 * @param {{ user?: string, password?: string }} login
 */
async function listens(scope, port, { user, password }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-squid-'))
  fs.chmodSync(folder, 0o777)
  const log = path.join(folder, 'access.log')
  // Any helper does that reads "user password" and says OK or ERR.
  const helper = path.join(folder, 'login')
  fs.writeFileSync(
    helper,
    `#!/bin/sh\nwhile read line; do [ "$line" = "${user} ${password}" ] && echo OK || echo ERR; done\n`,
  )
  fs.chmodSync(helper, 0o755)
  const access =
    user === undefined
      ? []
      : [`auth_param basic program ${helper}`, 'auth_param basic children 1', 'acl known proxy_auth REQUIRED']
  const configuration = [
    `http_port 127.0.0.1:${port}`,
    ...access,
    `http_access allow ${user === undefined ? 'all' : 'known'}`,
    'http_access deny all',
    'cache deny all',
    'cache_mem 1 MB',
    'pinger_enable off',
    'shutdown_lifetime 0 seconds',
    'max_filedescriptors 1024',
    `pid_filename ${folder}/squid.pid`,
    `coredump_dir ${folder}`,
    `cache_log ${folder}/cache.log`,
    `logfile_rotate 0`,
    `access_log stdio:${log} logformat=kept`,
    'visible_hostname localhost',
  ]
  configuration.unshift('logformat kept %rm %ru %>Hs %>p')
  fs.writeFileSync(path.join(folder, 'squid.conf'), configuration.join('\n'))
  // Those of one name share memory.
  started += 1
  const child = spawn(
    String(program),
    ['-N', '-n', `keepwire${process.pid}x${started}`, '-f', path.join(folder, 'squid.conf')],
    { stdio: 'ignore' },
  )
  const ended = new Promise((resolve) => child.once('exit', resolve))
  scope.defer(async () => {
    child.kill('SIGTERM')
    await ended
    fs.rmSync(folder, { recursive: true, force: true })
  })
  const over = () => child.exitCode !== null || child.signalCode !== null
  const cacheLog = path.join(folder, 'cache.log')
  const says = (/** @type {string} */ words) =>
    fs.existsSync(cacheLog) && fs.readFileSync(cacheLog, 'utf8').includes(words)
  await until(() => over() || says('Accepting HTTP Socket connections'), 'squid listens')
  while (!over() && !(await answers(port))) await turns(1)
  if (over()) return undefined
  return {
    port,
    /** What it was asked for, without probes: method, URL, status and the client's port of each request that is over. @returns {string[][]} */
    log() {
      const text = fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : ''
      return text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('- '))
        .map((line) => line.split(' '))
    },
  }
}

module.exports = { hasSquid: program !== undefined, startSquid }
