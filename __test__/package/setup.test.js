'use strict'

// What `npm test` and `npm run demo` say on a machine that lacks something: one line, before anything else happens.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const vm = require('node:vm')
const { test } = require('node:test')

const { isNode } = require('../support/runtime')

const root = path.resolve(__dirname, '../..')
const skip = (!isNode && 'the scripts run on Node') || (process.platform === 'win32' && 'needs shell scripts')

/**
 * Runs the scripts' preparation in an unbuilt checkout whose PATH holds only `programs`.
 * @param {Record<string, string>} programs name → shell script
 */
function prepare(programs) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-setup-'))
  try {
    fs.cpSync(path.join(root, 'scripts'), path.join(folder, 'scripts'), { recursive: true })
    fs.mkdirSync(path.join(folder, 'lib', 'bridge'), { recursive: true })
    for (const file of ['Cargo.toml', 'lib/bridge/target.js']) {
      fs.copyFileSync(path.join(root, file), path.join(folder, file))
    }
    const bin = path.join(folder, 'bin')
    fs.mkdirSync(bin)
    for (const [name, script] of Object.entries(programs)) {
      fs.writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(folder, 'scripts', 'setup.js')], {
      encoding: 'utf8',
      env: { PATH: bin, HOME: folder, CARGO_HOME: path.join(folder, 'cargo-home') },
    })
    assert.deepStrictEqual(fs.readdirSync(folder).sort(), ['Cargo.toml', 'bin', 'lib', 'scripts'])
    return { status, stdout, lines: stderr.trimEnd().split('\n') }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

test('a missing cargo gets one line that says which Rust is needed and how to get it', { skip }, () => {
  const { status, stdout, lines } = prepare({ cc: 'exit 0' })
  assert.strictEqual(status, 1)
  assert.strictEqual(stdout, '')
  assert.strictEqual(lines.length, 1)
  assert.match(
    lines[0],
    /^keepwire: building the addon needs Rust 1\.\d+ or later, and no cargo was found: install Rust/,
  )
})

test('a cargo that is too old gets one line with both versions', { skip }, () => {
  const { status, lines } = prepare({ cc: 'exit 0', cargo: 'echo "cargo 1.60.0 (d1fd9fe2c 2022-03-01)"' })
  assert.strictEqual(status, 1)
  assert.strictEqual(lines.length, 1)
  assert.match(lines[0], /needs Rust 1\.\d+ or later, and cargo is 1\.60\.0: update it/)
})

test('a cargo that fails gets one line with what it said', { skip }, () => {
  const { status, lines } = prepare({ cc: 'exit 0', cargo: 'echo "no default toolchain" >&2; exit 1' })
  assert.strictEqual(status, 1)
  assert.strictEqual(lines.length, 1)
  assert.match(lines[0], /cargo --version" failed: no default toolchain/)
})

test('a missing C linker gets one line', { skip }, () => {
  const { status, lines } = prepare({ cargo: 'echo "cargo 1.999.0"' })
  assert.strictEqual(status, 1)
  assert.strictEqual(lines.length, 1)
  assert.match(lines[0], /^keepwire: no C linker found/)
})

test('a Node that is too old gets one line, in syntax that it can read', { skip }, () => {
  const printed = []
  let code
  const process = {
    versions: { node: '16.20.2' },
    exit(value) {
      code = value
    },
  }
  const console = { error: (line) => printed.push(line) }
  const source = fs.readFileSync(path.join(root, 'scripts', 'node-version.js'), 'utf8')
  vm.runInNewContext(source, { console, process, parseInt })
  assert.strictEqual(code, 1)
  assert.strictEqual(printed.length, 1)
  assert.match(printed[0], /^keepwire needs Node 18 or later, and this is Node 16\.20\.2/)
  assert.doesNotMatch(source, /=>|\?\.|\b(const|let)\b|`/)
})
