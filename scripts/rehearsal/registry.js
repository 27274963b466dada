'use strict'

// A registry on loopback (verdaccio) that knows no other: what is installed from it was published to it. axios and what it needs
// come from this checkout's node_modules.

const crypto = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const { spawn } = require('node:child_process')

const lock = require('../../package-lock.json')
const { homeOf } = require('../programs.js')
const { root, runNpm } = require('../process.js')
const { UserError } = require('../report.js')

const START_DEADLINE_MS = 30_000

const CONFIG = `
storage: ./storage
uplinks: {}
packages:
  '**': { access: $all, publish: $all, unpublish: $all }
log: { type: file, path: ./verdaccio.log, level: warn }
web: { enable: false }
`

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/**
 * @param {string} url
 * @param {string} method
 * @param {unknown} [body]
 * @returns {Promise<{ status: number, text: string }>}
 */
function ask(url, method, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers: { 'Content-Type': 'application/json' }, agent: false })
    request.once('error', reject).once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece) => (text += piece))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** axios and all that it needs, as the lock file has them. */
function axiosAndItsPackages() {
  const packages = /** @type {Record<string, any>} */ (lock.packages)
  const found = new Set(['axios'])
  for (const name of found) {
    for (const needed of Object.keys(packages[`node_modules/${name}`].dependencies ?? {})) found.add(needed)
  }
  return [...found]
}

class Registry {
  /** @type {import('node:child_process').ChildProcess} */
  #child
  /** @type {() => string} */
  #said
  /** @readonly */
  url
  /** For npm and for who reads its settings. @readonly */
  userconfig

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} url
   * @param {string} folder
   * @param {() => string} said
   */
  constructor(child, url, folder, said) {
    this.#child = child
    this.#said = said
    this.url = url
    this.userconfig = path.join(folder, 'npmrc')
    // npm publishes only where it has a token for, whatever it is.
    fs.writeFileSync(
      this.userconfig,
      `registry=${url}\n${url.replace('http:', '')}:_authToken=\${KEEPWIRE_REHEARSAL_TOKEN}\n`,
    )
  }

  /**
   * What npm and its kin are run with: nothing comes from a cache of the user's.
   * @param {string} cache a folder
   */
  environment(cache) {
    return {
      npm_config_userconfig: this.userconfig,
      npm_config_registry: this.url,
      // Deno's name for it.
      NPM_CONFIG_REGISTRY: this.url,
      npm_config_cache: cache,
      BUN_INSTALL_CACHE_DIR: `${cache}-bun`,
      DENO_DIR: `${cache}-deno`,
      KEEPWIRE_REHEARSAL_TOKEN: 'none',
    }
  }

  /** @param {string} into a folder */
  async publishAxios(into) {
    const names = axiosAndItsPackages()
    const folders = names.map((name) => path.join(root, 'node_modules', name))
    const args = ['pack', ...folders, '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', into]
    const { code, stdout } = await runNpm(args, { capture: 'stdout' })
    if (code !== 0) throw new UserError('npm pack of axios failed.')
    for (const { name, version, filename } of JSON.parse(stdout)) {
      const manifest = JSON.parse(fs.readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8'))
      await this.#put(manifest, version, fs.readFileSync(path.join(into, path.basename(filename))))
    }
  }

  /**
   * What npm publish sends.
   * @param {{ name: string }} manifest
   * @param {string} version
   * @param {Buffer} tarball
   */
  async #put(manifest, version, tarball) {
    const { name } = manifest
    const file = `${name}-${version}.tgz`
    const dist = {
      tarball: `${this.url}${name}/-/${file}`,
      shasum: crypto.createHash('sha1').update(tarball).digest('hex'),
      integrity: `sha512-${crypto.createHash('sha512').update(tarball).digest('base64')}`,
    }
    const { status, text } = await ask(`${this.url}${encodeURIComponent(name)}`, 'PUT', {
      _id: name,
      name,
      'dist-tags': { latest: version },
      versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
      _attachments: {
        [file]: { content_type: 'application/octet-stream', data: tarball.toString('base64'), length: tarball.length },
      },
    })
    if (status !== 201) throw new UserError(`the registry took no ${name}: ${status} ${text}`)
  }

  /** @param {string} name */
  async versionsOf(name) {
    const { text } = await ask(`${this.url}${name}`, 'GET')
    return Object.keys(JSON.parse(text).versions ?? {})
  }

  /** @returns {Promise<string | null>} what it said, if it had ended by itself */
  close() {
    return new Promise((resolve) => {
      const { exitCode, signalCode } = this.#child
      if (exitCode !== null || signalCode !== null) return resolve(`${exitCode ?? signalCode}\n${this.#said()}`)
      this.#child.once('exit', () => resolve(null)).kill()
    })
  }
}

/**
 * @param {string} folder an empty one
 * @param {string} node Node 20 or newer
 */
async function startRegistry(folder, node) {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  fs.writeFileSync(path.join(folder, 'config.yaml'), CONFIG)
  const verdaccio = path.join(homeOf('verdaccio'), 'node_modules', 'verdaccio', 'bin', 'verdaccio')
  const args = [verdaccio, '--config', path.join(folder, 'config.yaml'), '--listen', `127.0.0.1:${port}`]
  const child = spawn(node, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  const end = () => child.kill('SIGKILL')
  process.once('exit', end)
  child.once('exit', () => process.removeListener('exit', end))
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
  const until = performance.now() + START_DEADLINE_MS
  for (;;) {
    const answer = await ask(`${url}-/ping`, 'GET').catch(() => null)
    if (answer?.status === 200) return new Registry(child, url, folder, () => said.trim())
    if (child.exitCode !== null || performance.now() > until) {
      child.kill('SIGKILL')
      throw new UserError(`verdaccio does not answer:\n${said.trim()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

module.exports = { startRegistry }
