'use strict'

// An nginx of the test's own, where one is installed.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { installed } = require('./installed')
const { freePort } = require('./ports')
const { until } = require('./wait')

const program = installed('nginx')

// nginx can't be told to take any free port, and one that was free a moment ago may be another test's by now.
const TRIES = 5

/**
 * @param {import('./suite').Scope} scope it ends with the test
 * @param {Record<string, string>} files beside the configuration
 * @param {(port: number) => string} server the inside of its server block
 * @returns {Promise<number>} the port
 */
async function startNginx(scope, files, server) {
  for (let tries = 1; ; tries++) {
    const port = await freePort()
    const refusal = await listens(scope, files, server(port))
    if (refusal === undefined) return port
    if (tries === TRIES || !refusal.includes('Address already in use')) throw new Error(refusal)
  }
}

/**
 * @param {import('./suite').Scope} scope
 * @param {Record<string, string>} files
 * @param {string} server
 * @returns {Promise<string | undefined>} why it ended, if it did; once it listens, nothing
 */
async function listens(scope, files, server) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-nginx-'))
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`)
  const configuration = `
    daemon off;
    master_process off;
    pid nginx.pid;
    events {}
    http {
      access_log off;
      ${temporary.join(' ')}
      server { ${server} }
    }`
  fs.writeFileSync(path.join(folder, 'nginx.conf'), configuration)
  const child = spawn(program, ['-p', folder, '-e', 'error.log', '-c', 'nginx.conf'], { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  scope.defer(async () => {
    child.kill('SIGTERM')
    await ended
    fs.rmSync(folder, { recursive: true })
  })
  const over = () => child.exitCode !== null
  // It writes its pid once its sockets listen. A connection would prove less: whoever has the port takes it.
  await until(() => over() || fs.existsSync(path.join(folder, 'nginx.pid')), 'nginx listens')
  return over() ? fs.readFileSync(path.join(folder, 'error.log'), 'utf8') : undefined
}

module.exports = { hasNginx: program !== undefined, startNginx }
