'use strict'

// What `npm run demo` and `npm test` do first, so that each is the only command after a clone: check the tools, install
// the development packages, build the addon. Each step is left out when its result is there already.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { build, isBuilt } = require('./build.js')
const { removeBundle } = require('./bundle.js')
const { root, runNpm } = require('./process.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')
const { findCargo } = require('./toolchain.js')

const lockFile = path.join(root, '.setup.lock')
const LOCK_POLL_MS = 200
const UNWRITTEN_LOCK_MS = 5_000

/** @param {string} file */
function modifiedAt(file) {
  return fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** npm writes the hidden lock file last, after everything else of an install. */
function isInstalled() {
  const installedAt = modifiedAt('node_modules/.package-lock.json')
  return installedAt > 0 && installedAt >= modifiedAt('package-lock.json')
}

async function install() {
  const startedAt = performance.now()
  say('installing the development packages (npm ci)')
  // Without `prepare`, which would wait for this process.
  const args = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output } = await runNpm(args, { capture: 'both' })
  if (code !== 0) throw new UserError(`"npm ci" failed:\n${output.trim()}`)
  say(`installed the development packages in ${secondsSince(startedAt)}`)
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function tryLock() {
  try {
    fs.writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    return false
  }
}

/** @returns {boolean} whether the lock of a process that ended without freeing it was freed */
function breakStaleLock() {
  const stat = fs.statSync(lockFile, { throwIfNoEntry: false })
  if (stat === undefined) return true
  const holder = Number(fs.readFileSync(lockFile, 'utf8'))
  // No number yet: its maker is between two system calls, or died there.
  const isStale = holder > 0 ? !isAlive(holder) : Date.now() - stat.mtimeMs > UNWRITTEN_LOCK_MS
  if (isStale) fs.rmSync(lockFile, { force: true })
  return isStale
}

/**
 * Two commands started together must not install into the same folder at once.
 * @param {() => Promise<void>} work
 */
async function alone(work) {
  let announced = false
  while (!tryLock()) {
    if (breakStaleLock()) continue
    if (!announced) say('waiting for another process that is setting up this checkout')
    announced = true
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS))
  }
  const unlock = () => fs.rmSync(lockFile, { force: true })
  process.once('exit', unlock)
  try {
    await work()
  } finally {
    process.removeListener('exit', unlock)
    unlock()
  }
}

/**
 * Makes the checkout ready to run.
 * @param {{ dev: boolean, quick?: boolean }} needs `dev`: the development packages as well, not only the addon; `quick`: an
 *   addon that is built quickly will do, as with KEEPWIRE_BUILD=quick in the environment
 */
async function ensureReady({ dev, quick = process.env.KEEPWIRE_BUILD === 'quick' }) {
  // An interrupted `npm pack` leaves it there, and it would be loaded in place of the files.
  removeBundle()
  const isAddonReady = () => isBuilt(quick ? ['release', 'quick'] : ['release'])
  if ((!dev || isInstalled()) && isAddonReady()) return
  await alone(async () => {
    const cargo = isAddonReady() ? null : await findCargo()
    if (dev && !isInstalled()) await install()
    if (cargo !== null) await build({ cargo, profile: quick ? 'quick' : 'release' })
  })
}

module.exports = { alone, ensureReady }

if (require.main === module) {
  runScript(async () => {
    if (!process.argv.includes('--packages')) await ensureReady({ dev: true })
    else if (!isInstalled()) await alone(install)
  })
}
