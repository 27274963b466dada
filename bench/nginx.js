'use strict'

// One nginx worker on loopback, with a configuration, folder and ports of its own, which is a proxy for http, too; and beside it a
// server that takes its time, and a proxy for tunnels.

/** @typedef {{ origin: string, secureOrigin: string }} Origins */
/** @typedef {{ http: string, https: string }} Relays */

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')

const { makeAuthority } = require('../__test__/support/authority.js')
const { UserError } = require('../scripts/report.js')
const { LARGE_BYTES, SMALL_BYTES } = require('./cases.js')

const HOST = '127.0.0.1'
const START_MS = 5_000
// Debian keeps it out of the PATH of ordinary users.
const USUAL_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin']

/**
 * @param {string[]} [prefix] of the commands that start servers
 * @returns {Promise<Origins & { http2Origin: string, slow: Origins, proxies: Relays, relays: Relays, ca: string, stop(): Promise<void> }>}
 *   slow: the one of slow-server.js; proxies: for http and for https; relays: servers that are as far away as what is behind those
 */
async function startServers(prefix = []) {
  const program = findNginx()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-bench-'))
  const ports = [await freePort(), await freePort(), await freePort(), await freePort()]
  const [port, securePort, http2Port, proxyPort] = ports
  const { root, server } = await makeAuthority()
  fs.writeFileSync(path.join(folder, 'nginx.conf'), configuration(ports))
  fs.writeFileSync(path.join(folder, 'cert.pem'), server.pem)
  fs.writeFileSync(path.join(folder, 'key.pem'), server.key)
  fs.writeFileSync(path.join(folder, 'large'), Buffer.alloc(LARGE_BYTES, 'keepwire '))
  const [command, ...args] = [...prefix, program, '-p', folder, '-e', 'error.log', '-c', 'nginx.conf']
  const child = spawn(command, args, { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const kill = () => child.kill('SIGTERM')
  const remove = () => fs.rmSync(folder, { recursive: true, force: true })
  const clear = () => {
    kill()
    remove()
  }
  process.once('exit', clear)
  try {
    await answering(`http://${HOST}:${port}/small`, child)
  } catch (error) {
    kill()
    const log = readIfThere(path.join(folder, 'error.log')).trim().split('\n').slice(-1)[0]
    remove()
    throw new UserError(`nginx did not start: ${log || error.message}`)
  }
  const task = JSON.stringify({ key: server.key, cert: server.pem })
  const slow = await startScript('slow-server.js', [task], prefix)
  const proxy = await startScript('proxy.js', [String(securePort)], prefix)
  const [slowPort, slowSecurePort] = slow.told
  const [tunnelPort, relayPort] = proxy.told
  return {
    origin: `http://${HOST}:${port}`,
    secureOrigin: `https://${HOST}:${securePort}`,
    http2Origin: `https://${HOST}:${http2Port}`,
    slow: { origin: `http://${HOST}:${slowPort}`, secureOrigin: `https://${HOST}:${slowSecurePort}` },
    proxies: { http: `http://${HOST}:${proxyPort}`, https: `http://${HOST}:${tunnelPort}` },
    relays: { http: `http://${HOST}:${proxyPort}`, https: `https://${HOST}:${relayPort}` },
    ca: root.pem,
    async stop() {
      process.removeListener('exit', clear)
      await Promise.all([slow.stop(), proxy.stop()])
      kill()
      await ended
      remove()
    },
  }
}

/**
 * @param {string} script of this folder
 * @param {string[]} given
 * @param {string[]} prefix
 * @returns {Promise<{ told: any, stop(): Promise<void> }>} told: its first line
 */
async function startScript(script, given, prefix) {
  const [command, ...args] = [...prefix, process.execPath, path.join(__dirname, script), ...given]
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [line] = await once(child.stdout, 'data')
  return {
    told: JSON.parse(line),
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}

function findNginx() {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), ...USUAL_FOLDERS]
  const found = folders.map((folder) => path.join(folder, 'nginx')).find((file) => fs.existsSync(file))
  if (found !== undefined) return found
  throw new UserError(
    'the benchmark needs nginx: install it (Debian, Ubuntu: "apt-get install nginx-light"; macOS: "brew install nginx")',
  )
}

/** Connections live as long as the benchmark; nothing is logged a request. The user matters only when started as root. */
function configuration([port, securePort, http2Port, proxyPort]) {
  return `
daemon off;
worker_processes 1;
pid nginx.pid;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 16384; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen ${HOST}:${port} backlog=1024;
    listen ${HOST}:${securePort} ssl backlog=1024;
    listen ${HOST}:${http2Port} ssl http2 backlog=1024;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    root .;
    location = /small { return 200 "${'k'.repeat(SMALL_BYTES)}"; }
    location = /large { }
  }
  upstream itself { server ${HOST}:${port}; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen ${HOST}:${proxyPort} backlog=1024;
    location / { proxy_pass http://itself; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`
}

async function freePort() {
  const server = net.createServer()
  await once(server.listen(0, HOST), 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  await once(server.close(), 'close')
  return port
}

/** Resolves when `url` answers with 200. */
async function answering(url, child) {
  const deadline = performance.now() + START_MS
  while (child.exitCode === null && performance.now() < deadline) {
    const status = await new Promise((resolve) => {
      const request = http.get(url, { agent: false }, (response) => resolve(response.resume().statusCode))
      request.on('error', () => resolve(0))
    })
    if (status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(child.exitCode === null ? `no answer within ${START_MS} ms` : `exit code ${child.exitCode}`)
}

function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

module.exports = { startServers }
