'use strict'

// An nginx of the test's own, where one is installed.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')

const { until } = require('./wait')

// Debian keeps it out of the PATH of ordinary users.
const FOLDERS = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']
const program = FOLDERS.map((folder) => path.join(folder, 'nginx')).find((file) => fs.existsSync(file))

/**
 * @param {import('./suite').Scope} scope it ends with the test
 * @param {Record<string, string>} files beside the configuration
 * @param {(port: number) => string} server the inside of its server block
 * @returns {Promise<number>} the port
 */
async function startNginx(scope, files, server) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-nginx-'))
  const port = await freePort()
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
      server { ${server(port)} }
    }`
  fs.writeFileSync(path.join(folder, 'nginx.conf'), configuration)
  const child = spawn(program, ['-p', folder, '-e', 'error.log', '-c', 'nginx.conf'], { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  scope.defer(async () => {
    child.kill('SIGTERM')
    await ended
    fs.rmSync(folder, { recursive: true })
  })
  let listening = false
  const look = () => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => (listening = true)).on('error', () => {})
    socket.on('connect', () => socket.destroy())
    if (child.exitCode !== null) throw new Error(fs.readFileSync(path.join(folder, 'error.log'), 'utf8'))
    return listening
  }
  await until(look, 'nginx listens')
  return port
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

module.exports = { hasNginx: program !== undefined, startNginx }
