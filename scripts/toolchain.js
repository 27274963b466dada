'use strict'

// Finds what compiling the addon needs and says in one line what to do where it is absent or too old.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { isWindows, root, run } = require('./process.js')
const { UserError } = require('./report.js')

const GET_RUST = "install Rust with rustup (https://rustup.rs) or your system's packages"

/** @param {string} version */
function parseVersion(version) {
  return version.split('.').map((part) => Number.parseInt(part, 10) || 0)
}

/**
 * @param {string} version
 * @param {string} required
 */
function isAtLeast(version, required) {
  const have = parseVersion(version)
  const need = parseVersion(required)
  for (let i = 0; i < need.length; i++) {
    if ((have[i] ?? 0) !== need[i]) return (have[i] ?? 0) > need[i]
  }
  return true
}

function requiredRust() {
  const manifest = fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8')
  const [, version] = /^rust-version\s*=\s*"([^"]+)"/m.exec(manifest) ?? []
  if (version === undefined) throw new Error('Cargo.toml names no rust-version')
  return version
}

/** @param {string} program */
function isOnPath(program) {
  const names = isWindows ? [`${program}.exe`, `${program}.cmd`] : [program]
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean)
  return folders.some((folder) => names.some((name) => fs.existsSync(path.join(folder, name))))
}

/** rustup's folder: a shell that was open while Rust was installed lacks it in its PATH. */
function cargoHome() {
  return process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo')
}

/** Whether cargo was told to link with something else than `cc`. */
function namesOwnLinker() {
  if (Object.keys(process.env).some((name) => /^CARGO_TARGET_.*_LINKER$/.test(name))) return true
  const folders = [path.join(root, '.cargo'), cargoHome()]
  return folders.some((folder) =>
    ['config', 'config.toml'].some((name) => {
      const file = path.join(folder, name)
      return fs.existsSync(file) && /^\s*linker\s*=/m.test(fs.readFileSync(file, 'utf8'))
    }),
  )
}

function requireLinker() {
  // On Windows rustc finds Visual Studio's linker itself, which is on no PATH.
  if (isWindows || isOnPath('cc') || namesOwnLinker()) return
  const how =
    process.platform === 'darwin' ? 'xcode-select --install' : "your system's build tools, for example build-essential"
  throw new UserError(`no C linker found ("cc" is not on the PATH), and Rust needs one: install ${how}.`)
}

/**
 * @returns {Promise<string>} the cargo to call
 * @throws {UserError} no cargo, one too old, or no linker
 */
async function findCargo() {
  const required = requiredRust()
  const beside = path.join(cargoHome(), 'bin', isWindows ? 'cargo.exe' : 'cargo')
  const cargo = isOnPath('cargo') ? 'cargo' : beside
  if (cargo === beside && !fs.existsSync(beside)) {
    throw new UserError(`building the addon needs Rust ${required} or later, and no cargo was found: ${GET_RUST}.`)
  }
  const { code, output } = await run(cargo, ['--version'], { capture: 'both' })
  const [, version] = /^cargo (\d+\.\d+(?:\.\d+)?)/m.exec(output) ?? []
  if (code !== 0 || version === undefined) {
    throw new UserError(`"${cargo} --version" failed: ${output.trim().split('\n')[0] || `exit code ${code}`}.`)
  }
  if (!isAtLeast(version, required)) {
    throw new UserError(
      `building the addon needs Rust ${required} or later, and cargo is ${version}: update it ("rustup update").`,
    )
  }
  requireLinker()
  return cargo
}

module.exports = { findCargo, isAtLeast }
