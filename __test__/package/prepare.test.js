'use strict'

// What npm runs when keepwire is installed from a repository or a folder: it builds the addon, or says in one line why it
// can't. What is packed, and a checkout in which somebody works, is left alone.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const { nativeTargets } = require('../../lib/bridge/target')
const { isNode } = require('../support/runtime')

const root = path.resolve(__dirname, '../..')
const skip = (!isNode && 'the scripts run on Node') || (process.platform === 'win32' && 'needs shell scripts')

/**
 * Runs `prepare` in an unbuilt checkout, with a cargo that builds at once, or none.
 * @param {{ cargo?: boolean, git?: boolean, env?: (folder: string) => object }} [options]
 */
function prepare({ cargo = true, git = false, env = () => ({}) } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-prepare-'))
  try {
    fs.cpSync(path.join(root, 'scripts'), path.join(folder, 'scripts'), { recursive: true })
    fs.mkdirSync(path.join(folder, 'lib', 'bridge'), { recursive: true })
    for (const file of ['Cargo.toml', 'lib/bridge/target.js']) {
      fs.copyFileSync(path.join(root, file), path.join(folder, file))
    }
    if (git) fs.mkdirSync(path.join(folder, '.git'))
    const bin = path.join(folder, 'bin')
    fs.mkdirSync(bin)
    const library = path.join(folder, 'libkeepwire.so')
    fs.writeFileSync(library, 'built')
    const artifact = {
      reason: 'compiler-artifact',
      target: { name: 'keepwire', kind: ['cdylib'] },
      filenames: [library],
    }
    const programs = {
      cc: 'exit 0',
      ...(cargo ? { cargo: `[ "$1" = --version ] && echo "cargo 1.999.0" || echo '${JSON.stringify(artifact)}'` } : {}),
    }
    for (const [name, script] of Object.entries(programs)) {
      fs.writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(folder, 'scripts', 'prepare.js')], {
      encoding: 'utf8',
      env: {
        PATH: bin,
        HOME: folder,
        CARGO_HOME: path.join(folder, 'cargo-home'),
        INIT_CWD: os.tmpdir(),
        ...env(folder),
      },
    })
    const addon = path.join(folder, 'lib', 'native', `keepwire.${nativeTargets()[0]}.node`)
    return { status, stdout, stderr, isBuilt: fs.existsSync(addon) }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

test('who installs a folder or a repository gets an addon, and is told of each step', { skip }, () => {
  // The second: the clone in which npm prepares what it packs.
  const clone = { git: true, env: (folder) => ({ INIT_CWD: folder, _PACOTE_NO_PREPARE_: 'git+https://example.com' }) }
  for (const options of [{ env: () => ({ npm_command: 'install' }) }, clone]) {
    const { status, stdout, isBuilt } = prepare(options)
    assert.deepStrictEqual({ status, isBuilt }, { status: 0, isBuilt: true })
    assert.match(stdout, /^keepwire: building the addon .*\nkeepwire: built lib\/native\/\S+ in [\d.]+ s\n$/)
  }
})

test('without Rust there is one line that says what to install', { skip }, () => {
  const { status, stdout, stderr, isBuilt } = prepare({ cargo: false })
  assert.deepStrictEqual({ status, stdout, isBuilt }, { status: 1, stdout: '', isBuilt: false })
  assert.match(
    stderr,
    /^keepwire: building the addon needs Rust 1\.\d+ or later, and no cargo was found: install Rust.*\n$/,
  )
})

test('nothing is built for what is packed, nor by npm ci in a checkout', { skip }, () => {
  const packed = ['pack', 'publish'].map((command) => ({ env: () => ({ npm_command: command }) }))
  const own = { git: true, env: (/** @type {string} */ folder) => ({ INIT_CWD: path.join(folder, 'lib') }) }
  for (const options of [...packed, own]) {
    const told = prepare(options)
    assert.deepStrictEqual(told, { status: 0, stdout: '', stderr: '', isBuilt: false })
  }
})
