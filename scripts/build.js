'use strict'

// `npm run build [-- --quick | --debug]`: compiles the crate and puts the addon into lib/native, where the loader looks
// first. `--quick` (Cargo.toml) compiles a change in seconds, and its code is slower: for tests, never for measurements.
// It calls cargo itself because @napi-rs/cli, which builds a release's addons for other platforms, needs a newer Node than
// keepwire does.

require('./node-version.js')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const { nativeTargets } = require('../lib/bridge/target.js')
const { isWindows, root, run } = require('./process.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')

const outputDir = path.join(root, 'lib', 'native')
const addonFile = path.join(outputDir, `keepwire.${nativeTargets()[0]}.node`)
const stampFile = path.join(outputDir, 'build-stamp.json')
/** @typedef {'release' | 'quick' | 'debug'} Profile */
/** Cargo's names of the profiles. */
const PROFILES = { release: 'release', quick: 'quick', debug: 'dev' }
const SOURCES = ['Cargo.toml', 'Cargo.lock', 'build.rs', '.cargo', 'src']

/** @param {string} relative */
function* filesUnder(relative) {
  const absolute = path.join(root, relative)
  const stat = fs.statSync(absolute, { throwIfNoEntry: false })
  if (stat === undefined) return
  if (!stat.isDirectory()) {
    yield relative
    return
  }
  for (const entry of fs.readdirSync(absolute).sort()) yield* filesUnder(path.posix.join(relative, entry))
}

/**
 * What the addon is made of. Contents, not times: a fresh checkout has new times and old contents.
 * @param {string} profile
 */
function sourceStamp(profile) {
  const hash = createHash('sha256').update(profile)
  for (const source of SOURCES) {
    for (const file of filesUnder(source)) hash.update(`\0${file}\0`).update(fs.readFileSync(path.join(root, file)))
  }
  return hash.digest('hex')
}

function addonStamp() {
  try {
    const { stamp, bytes } = JSON.parse(fs.readFileSync(stampFile, 'utf8'))
    return fs.statSync(addonFile).size === bytes ? stamp : null
  } catch {
    return null
  }
}

/**
 * Whether lib/native has the addon of the sources as they are, in one of these profiles.
 * @param {Profile[]} profiles
 */
function isBuilt(profiles) {
  const stamp = addonStamp()
  return stamp !== null && profiles.some((profile) => stamp === sourceStamp(profile))
}

/**
 * Another process may have the old addon loaded, so its file is replaced and never written into.
 * @param {string} library
 */
function putIntoPlace(library) {
  fs.mkdirSync(outputDir, { recursive: true })
  const fresh = `${addonFile}.${process.pid}.tmp`
  fs.copyFileSync(library, fresh)
  try {
    fs.renameSync(fresh, addonFile)
  } catch (error) {
    fs.rmSync(fresh, { force: true })
    if (isWindows) throw new UserError(`${addonFile} is in use: end the processes that loaded it, then build again.`)
    throw error
  }
}

/** @param {string} messages cargo's JSON messages, one a line */
function builtLibrary(messages) {
  for (const line of messages.split('\n')) {
    if (!line.includes('"compiler-artifact"')) continue
    const { target, filenames } = JSON.parse(line)
    if (target.name !== 'keepwire' || !target.kind.includes('cdylib')) continue
    const library = filenames.find((/** @type {string} */ name) => /\.(so|dylib|dll)$/.test(name))
    if (library !== undefined) return library
  }
  throw new Error('cargo did not say where it put the library')
}

/**
 * Compiles the addon.
 * @param {string} cargo
 * @param {string[]} flags
 * @returns {Promise<string>} the file
 */
async function compile(cargo, flags) {
  const { code, stdout } = await run(cargo, ['build', '--lib', '--message-format=json-render-diagnostics', ...flags], {
    capture: 'stdout',
  })
  if (code !== 0) throw new UserError('the addon did not build: cargo says above why.')
  return builtLibrary(stdout)
}

/**
 * @param {{ profile?: Profile, cargo?: string }} [options]
 */
async function build({ profile = 'release', cargo = 'cargo' } = {}) {
  const stamp = sourceStamp(profile)
  const startedAt = performance.now()
  say(`building the addon (cargo build, ${profile}); the first time takes a minute or two`)
  putIntoPlace(await compile(cargo, ['--profile', PROFILES[profile]]))
  fs.writeFileSync(stampFile, JSON.stringify({ stamp, bytes: fs.statSync(addonFile).size }))
  say(`built ${path.relative(root, addonFile)} in ${secondsSince(startedAt)}`)
}

module.exports = { build, compile, isBuilt }

if (require.main === module) {
  runScript(async () => {
    const { findCargo } = require('./toolchain.js')
    const profile = /** @type {const} */ (['quick', 'debug']).find((name) => process.argv.includes(`--${name}`))
    await build({ profile, cargo: await findCargo() })
  })
}
