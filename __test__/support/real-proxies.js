'use strict'

// Proxies as Debian has them, each a process of the test's own where it is installed, counted by its own log: tinyproxy, microsocks,
// dante, and stunnel, which puts TLS in front of another. squid has a file of its own.

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { installed } = require('./installed')
const { answers, freePort } = require('./ports')
const { hasSquid, startSquid } = require('./squid')
const { until } = require('./wait')

/** @typedef {import('./suite').Scope} Scope */
/** @typedef {{ user?: string, password?: string }} Login whom it lets through; everybody, if it is not said */

/** Another may have taken a port that was free a moment ago. */
const TRIES = 5

/**
 * @typedef {object} Program
 * @property {string} file
 * @property {(port: number, folder: string) => string[]} args writes what it reads into the folder
 * @property {RegExp} asked what its log has for each tunnel
 */

/**
 * @param {Scope} scope it ends with it
 * @param {Program} program
 * @returns {Promise<{ port: number, log: () => string }>}
 */
async function startProgram(scope, program) {
  for (let tries = 1; ; tries++) {
    const port = await freePort()
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-proxy-'))
    fs.chmodSync(folder, 0o777)
    const log = path.join(folder, 'log')
    const output = fs.openSync(log, 'a')
    const child = spawn(program.file, program.args(port, folder), { stdio: ['ignore', output, output] })
    fs.closeSync(output)
    const ended = new Promise((resolve) => child.once('exit', resolve))
    const over = () => child.exitCode !== null || child.signalCode !== null
    const end = async () => {
      child.kill('SIGTERM')
      await ended
      fs.rmSync(folder, { recursive: true, force: true })
    }
    const deadline = Date.now() + 30_000
    while (!over() && Date.now() < deadline && !(await answers(port))) await new Promise(setImmediate)
    const read = () => fs.readFileSync(log, 'utf8')
    if (!over() && Date.now() < deadline) {
      scope.defer(end)
      return { port, log: read }
    }
    const said = read()
    await end()
    if (tries === TRIES) throw new Error(`${program.file} does not listen: ${said}`)
  }
}

/**
 * A proxy that runs.
 * @typedef {object} Started
 * @property {string} url with its login
 * @property {{ ca: string }} [proxyTls]
 * @property {(tunnels: number) => Promise<number>} asked how often its log says that somebody asked for a tunnel, once so many are in it
 * @property {() => string[][]} [log] squid's
 */

/** @param {() => number} count @param {number} tunnels */
async function counted(count, tunnels) {
  await until(() => count() >= tunnels, `${tunnels} tunnels are in the log`)
  return count()
}

/** @param {Scope} scope @param {Program} program @param {string} scheme @param {Login} login @returns {Promise<Started>} */
async function startLogged(scope, program, scheme, login) {
  const { log, port } = await startProgram(scope, program)
  const count = () => (log().match(program.asked) ?? []).length
  return { url: `${scheme}://${authority(login)}127.0.0.1:${port}`, asked: (tunnels) => counted(count, tunnels) }
}

/** @param {Login} login */
const authority = ({ user, password }) => (user === undefined ? '' : `${user}:${password}@`)

/** @param {Scope} scope @param {Login} login @returns {Promise<Started>} */
async function squid(scope, login) {
  const { log, port } = await startSquid(scope, login)
  const count = () => log().filter(([method]) => method === 'CONNECT').length
  return { url: `http://${authority(login)}127.0.0.1:${port}`, log, asked: (tunnels) => counted(count, tunnels) }
}

/** @param {Scope} scope @param {Login} login */
function tinyproxy(scope, login) {
  const { user, password } = login
  const args = (/** @type {number} */ port, /** @type {string} */ folder) => {
    const lines = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 600', 'MaxClients 200', 'LogLevel Connect']
    if (user !== undefined) lines.push(`BasicAuth ${user} ${password}`)
    fs.writeFileSync(path.join(folder, 'conf'), `${lines.join('\n')}\n`)
    return ['-d', '-c', path.join(folder, 'conf')]
  }
  const program = { file: String(installed('tinyproxy')), args, asked: /Request \(file descriptor \d+\): CONNECT /g }
  return startLogged(scope, program, 'http', login)
}

/** @param {Scope} scope @param {Login} login */
function microsocks(scope, login) {
  const { user, password } = login
  const args = (/** @type {number} */ port) => [
    ...['-i', '127.0.0.1', '-p', String(port)],
    ...(user === undefined ? [] : ['-u', user, '-P', String(password)]),
  ]
  const program = { file: String(installed('microsocks')), args, asked: /: connected to /g }
  return startLogged(scope, program, 'socks5h', login)
}

/** Its logins are those of the system: it is asked without. @param {Scope} scope */
function dante(scope) {
  const args = (/** @type {number} */ port, /** @type {string} */ folder) => {
    // Bun's os.userInfo() goes by the environment.
    const user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()
    const rule = 'from: 0.0.0.0/0 to: 0.0.0.0/0'
    const lines = [
      'logoutput: stderr',
      `internal: 127.0.0.1 port = ${port}`,
      'external: 127.0.0.1',
      'clientmethod: none',
      'socksmethod: none',
      `user.privileged: ${user}`,
      `user.unprivileged: ${user}`,
      `client pass { ${rule} }`,
      `socks pass { ${rule} log: connect }`,
    ]
    fs.writeFileSync(path.join(folder, 'conf'), `${lines.join('\n')}\n`)
    return ['-f', path.join(folder, 'conf'), '-p', path.join(folder, 'pid')]
  }
  const program = { file: String(installed('danted')), args, asked: /pass\(\d+\): tcp\/connect \[/g }
  return startLogged(scope, program, 'socks5', {})
}

/** squid, behind TLS. @param {Scope} scope @param {Login} login @returns {Promise<Started>} */
async function stunnel(scope, login) {
  // Loaded late: making certificates takes a while.
  const { makeAuthority } = require('./authority')
  const { root, server } = await makeAuthority()
  const behind = await squid(scope, login)
  const args = (/** @type {number} */ port, /** @type {string} */ folder) => {
    const [pem, key] = ['pem', 'key'].map((name) => path.join(folder, name))
    fs.writeFileSync(pem, server.pem)
    fs.writeFileSync(key, server.key, { mode: 0o600 })
    const lines = [
      ...['foreground = yes', 'syslog = no', 'pid ='],
      ...['[front]', `accept = 127.0.0.1:${port}`, `connect = 127.0.0.1:${new URL(behind.url).port}`],
      ...[`cert = ${pem}`, `key = ${key}`],
    ]
    fs.writeFileSync(path.join(folder, 'conf'), `${lines.join('\n')}\n`)
    return [path.join(folder, 'conf')]
  }
  const { port } = await startProgram(scope, { file: String(installed('stunnel4')), args, asked: /$/g })
  return { ...behind, url: `https://${authority(login)}localhost:${port}`, proxyTls: { ca: root.pem } }
}

const LOGIN = { user: 'user', password: 'pass' }

/**
 * @typedef {object} RealProxy
 * @property {string} name
 * @property {boolean} isInstalled
 * @property {boolean} [isForwarding] whether it keeps connections on which it was asked for http; tinyproxy does not
 * @property {(scope: Scope) => Promise<Started>} start
 */

/** @type {RealProxy[]} */
const realProxies = [
  { name: 'squid', start: (scope) => squid(scope, {}), isInstalled: hasSquid, isForwarding: true },
  { name: 'squid, with a login', start: (scope) => squid(scope, LOGIN), isInstalled: hasSquid, isForwarding: true },
  { name: 'tinyproxy', start: (scope) => tinyproxy(scope, {}), isInstalled: has('tinyproxy') },
  { name: 'tinyproxy, with a login', start: (scope) => tinyproxy(scope, LOGIN), isInstalled: has('tinyproxy') },
  { name: 'microsocks', start: (scope) => microsocks(scope, {}), isInstalled: has('microsocks') },
  { name: 'microsocks, with a login', start: (scope) => microsocks(scope, LOGIN), isInstalled: has('microsocks') },
  { name: 'dante', start: dante, isInstalled: has('danted') },
  {
    name: 'squid behind stunnel',
    start: (scope) => stunnel(scope, {}),
    isInstalled: hasSquid && has('stunnel4'),
    isForwarding: true,
  },
  {
    name: 'squid behind stunnel, with a login',
    start: (scope) => stunnel(scope, LOGIN),
    isInstalled: hasSquid && has('stunnel4'),
  },
]

/** @param {string} program */
function has(program) {
  return installed(program) !== undefined
}

module.exports = { realProxies }
