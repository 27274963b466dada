'use strict'

// What a release is made of says one version, and the lock file says nothing of where its packages came from.

const assert = require('node:assert')
const { readFileSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const textOf = (/** @type {string} */ file) => readFileSync(path.join(__dirname, '..', '..', file), 'utf8')

/** Where a version of this package stands, one a group. */
const PLACES = [
  ['package-lock.json', /^ {2}"version": "([^"]+)"/m],
  ['package-lock.json', /^ {6}"name": "keepwire",\n {6}"version": "([^"]+)"/m],
  ['Cargo.toml', /^version = "([^"]+)"/m],
  ['Cargo.lock', /^name = "keepwire"\nversion = "([^"]+)"/m],
  // The newest entry, as `node scripts/release.js notes` reads it.
  ['CHANGELOG.md', /^## \[([^\]]+)\]/m],
  // Until it is.
  ['README.md', /^npm install keepwire(?: +# once (\S+) is published)?$/m],
  ['.github/ISSUE_TEMPLATE/bug.yml', /placeholder: keepwire ([^,]+),/],
]

test('every place that says a version says that of package.json', () => {
  const { version } = JSON.parse(textOf('package.json'))
  assert.deepStrictEqual(
    PLACES.map(([file, pattern]) => {
      const found = pattern.exec(textOf(file))
      return [file, found === null ? 'none' : (found[1] ?? version)]
    }),
    PLACES.map(([file]) => [file, version]),
  )
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
