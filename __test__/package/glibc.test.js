'use strict'

// The lowest glibc that an addon loads with is read from its file, as readelf reads it.

const assert = require('node:assert')
const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { test } = require('node:test')

const { nativeTargets } = require('../../lib/bridge/target')
const { lowestGlibc } = require('../../scripts/glibc')
const { isNode } = require('../support/runtime')

const addon = path.join(__dirname, '..', '..', 'lib', 'native', `keepwire.${nativeTargets()[0]}.node`)
const readelf = spawnSync('readelf', ['--version-info', '--wide', addon], { encoding: 'utf8' })
const skip =
  (!isNode && 'the scripts run on Node') ||
  (!nativeTargets()[0].endsWith('-gnu') && 'no addon for glibc') ||
  (readelf.status !== 0 && 'needs readelf')

test('the lowest glibc is the newest version of a symbol that readelf tells of', { skip }, () => {
  const versions = [...readelf.stdout.matchAll(/Name: GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) =>
    [major, minor].map(Number),
  )
  const [[major, minor]] = versions.sort((a, b) => b[0] - a[0] || b[1] - a[1])
  assert.strictEqual(lowestGlibc(addon), `${major}.${minor}`)
})

test('what is no ELF file needs none', { skip: !isNode && 'the scripts run on Node' }, () => {
  assert.strictEqual(lowestGlibc(__filename), null)
})
