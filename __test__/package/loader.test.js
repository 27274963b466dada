'use strict'

// lib/bridge/native.js in a package of its own, with and without something to load.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const manifest = require('../../package.json')
const { nativeTargets } = require('../../lib/bridge/target.js')
const { runtimeName } = require('../support/runtime')

const root = path.resolve(__dirname, '../..')
const target = nativeTargets()[0]

/** Copies what the loader is made of, calls `body` with the loader's path, and removes it all. */
function inPackage(body) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-loader-'))
  try {
    fs.mkdirSync(path.join(folder, 'lib', 'bridge'), { recursive: true })
    for (const file of ['package.json', 'lib/bridge/native.js', 'lib/bridge/target.js']) {
      fs.copyFileSync(path.join(root, file), path.join(folder, file))
    }
    body({ folder, loader: path.join(folder, 'lib', 'bridge', 'native.js') })
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function putPlatformPackage(folder, version) {
  const home = path.join(folder, 'node_modules', `keepwire-${target}`)
  fs.mkdirSync(home, { recursive: true })
  fs.writeFileSync(
    path.join(home, 'package.json'),
    JSON.stringify({ name: `keepwire-${target}`, version, main: 'a.js' }),
  )
  fs.writeFileSync(path.join(home, 'a.js'), "exports.Port = 'the port of the platform package'")
}

function loadError(loader) {
  try {
    require(loader)
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'it loaded' })
}

test('without an addon, the error names the files, the platform, the runtime and what to do', () => {
  inPackage(({ folder, loader }) => {
    const error = loadError(loader)
    assert.strictEqual(error.code, 'ERR_KEEPWIRE_ADDON')
    const file = path.join(fs.realpathSync(folder), 'lib', 'native', `keepwire.${target}.node`)
    assert.ok(error.message.includes(`file ${file}: no such file`), error.message)
    assert.ok(error.message.includes(`package keepwire-${target}: not installed`), error.message)
    assert.ok(error.message.includes(`${process.platform} ${process.arch}`), error.message)
    assert.ok(error.message.toLowerCase().includes(`${runtimeName} `), error.message)
    assert.ok(error.message.includes('npm install keepwire'), error.message)
    assert.ok(error.message.includes('npm run build'), error.message)
    assert.ok(error.message.includes('mark keepwire as external'), error.message)
    assert.strictEqual(error.cause.errors.length, 2 * nativeTargets().length)
  })
})

test('a file that is no addon is named with what the system says of it', () => {
  inPackage(({ folder, loader }) => {
    const native = path.join(folder, 'lib', 'native')
    fs.mkdirSync(native)
    fs.writeFileSync(path.join(native, `keepwire.${target}.node`), 'not a shared library')
    const error = loadError(loader)
    assert.strictEqual(error.code, 'ERR_KEEPWIRE_ADDON')
    assert.match(error.message, /file .*\.node: (?!no such file)./)
    assert.ok(error.cause.errors[0] instanceof Error)
  })
})

test('the platform package is loaded where no checkout has built the addon', () => {
  inPackage(({ folder, loader }) => {
    putPlatformPackage(folder, manifest.version)
    assert.strictEqual(require(loader).Port, 'the port of the platform package')
  })
})

test('a platform package of another release is refused by name', () => {
  inPackage(({ folder, loader }) => {
    putPlatformPackage(folder, '0.0.1')
    const error = loadError(loader)
    assert.strictEqual(error.code, 'ERR_KEEPWIRE_ADDON')
    const line = `package keepwire-${target}: version 0.0.1 does not belong to keepwire ${manifest.version}`
    assert.ok(error.message.includes(line), error.message)
  })
})

test('the loader names every platform package, and literally: tracers of files find them so', () => {
  const systems = { 'unknown-linux': 'linux', 'apple-darwin': 'darwin', 'pc-windows': 'win32' }
  const packages = manifest.napi.targets.map((triple) => {
    const [, cpu, system, library] = /^(\w+?)-(unknown-linux|apple-darwin|pc-windows)-?(\w*)$/.exec(triple)
    const parts = [systems[system], cpu === 'aarch64' ? 'arm64' : 'x64', library].filter(Boolean)
    return `keepwire-${parts.join('-')}`
  })
  const source = fs.readFileSync(path.join(root, 'lib', 'bridge', 'native.js'), 'utf8')
  const named = Array.from(source.matchAll(/\brequire\('(keepwire-[^']+)'\)/g), ([, literal]) => literal)
  const manifests = packages.map((wanted) => `${wanted}/package.json`)
  assert.deepStrictEqual(named.sort(), [...packages, ...manifests].sort())
})
