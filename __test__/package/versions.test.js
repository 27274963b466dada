'use strict'

// What a release is made of says one version, and the lock file says nothing of where its packages came from.

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const textOf = (/** @type {string} */ file) => readFileSync(path.join(__dirname, '..', '..', file), 'utf8')

test('package.json, Cargo.toml and both lock files say the same version', () => {
  const { version } = JSON.parse(textOf('package.json'))
  const lock = JSON.parse(textOf('package-lock.json'))
  const crate = /^version = "([^"]+)"/m.exec(textOf('Cargo.toml'))?.[1]
  const locked = /^name = "keepwire"\nversion = "([^"]+)"/m.exec(textOf('Cargo.lock'))?.[1]
  assert.deepStrictEqual([lock.version, lock.packages[''].version, crate, locked], Array(4).fill(version))
})

test('the lock file has no addresses: packages come from whatever registry npm is told of', () => {
  const { packages } = JSON.parse(textOf('package-lock.json'))
  assert.deepStrictEqual(
    Object.keys(packages).filter((name) => packages[name].resolved !== undefined),
    [],
  )
})

test('a package has no dependencies, and nothing that runs when it is installed', () => {
  const manifest = JSON.parse(textOf('package.json'))
  for (const kind of ['dependencies', 'peerDependencies', 'bundleDependencies']) assert.ok(!(kind in manifest), kind)
  for (const name of ['preinstall', 'install', 'postinstall']) assert.ok(!(name in manifest.scripts), name)
})
