'use strict'

// What a release has: a package for each platform that the loader knows, checksums that are looked at, and a list of the crates that are
// compiled in. `npm run rehearse` makes and publishes one.

const assert = require('node:assert')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const { RELEASED } = require('../../scripts/package')
const { publishRelease, releaseNotes } = require('../../scripts/release')
const { billOfMaterials } = require('../../scripts/sbom')
const { version } = require('../../package.json')
const { isNode } = require('../support/runtime')

const root = path.join(__dirname, '..', '..')
const textOf = (/** @type {string} */ file) => readFileSync(path.join(root, file), 'utf8')
const skip = !isNode && 'the scripts run on Node'

test('a release has a package for each platform that the loader asks for, and no other', () => {
  const literal = Array.from(
    textOf('lib/bridge/native.js').matchAll(/require\('keepwire-([\w-]+)'\)/g),
    ([, name]) => name,
  )
  assert.deepStrictEqual([...RELEASED.keys()].sort(), literal.sort())
})

test('the bill of materials has what is compiled into an addon, and nothing that only builds or tests it', {
  skip,
  timeout: 120_000,
}, async () => {
  const { components, dependencies, metadata } = await billOfMaterials(['linux-x64-gnu', 'win32-x64-msvc'])
  assert.strictEqual(metadata.component.purl, `pkg:npm/keepwire@${version}`)
  const named = new Map(components.map((component) => [component.name, component]))
  for (const name of ['keepwire', 'keepwire-linux-x64-gnu', 'napi', 'ring', 'rustls', 'tokio'])
    assert.ok(named.has(name), name)
  // For tests, for building, for macros, for other systems.
  for (const name of ['rcgen', 'napi-build', 'napi-derive', 'syn', 'security-framework'])
    assert.ok(!named.has(name), name)
  const platforms = (name) => named.get(name).properties.map(({ value }) => value)
  assert.deepStrictEqual(platforms('thread-priority'), ['linux-x64-gnu'])
  assert.deepStrictEqual(platforms('ring'), ['linux-x64-gnu', 'win32-x64-msvc'])

  const lock = textOf('Cargo.lock')
  for (const { hashes, licenses, name, purl, version } of components) {
    if (!purl?.startsWith('pkg:cargo/')) continue
    assert.ok(lock.includes(`name = "${name}"\nversion = "${version}"\n`), name)
    assert.ok(lock.includes(`checksum = "${hashes[0].content}"`), name)
    assert.match(licenses[0].expression, /^[\w.()-]+(?: (?:OR|AND|WITH) [\w.()-]+)*$/, name)
  }
  const known = new Set(components.map((component) => component['bom-ref']))
  assert.deepStrictEqual(
    dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !known.has(ref)),
    [],
  )
  const used = new Set(dependencies.flatMap(({ dependsOn }) => dependsOn))
  assert.deepStrictEqual(
    [...known].filter((ref) => !used.has(ref)),
    [],
  )
})

test('nothing is published that is not what its checksum says, or not all of a release', { skip }, async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'keepwire-release-'))
  const tarball = `keepwire-linux-x64-gnu-${version}.tgz`
  const empty = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
  try {
    writeFileSync(path.join(folder, tarball), 'changed')
    writeFileSync(path.join(folder, 'SHA256SUMS'), `${empty}  ${tarball}\n`)
    // The registry is nobody: whoever asks it fails otherwise.
    const publish = () => publishRelease(folder, { npm_config_registry: 'http://127.0.0.1:9/' })
    await assert.rejects(publish, { message: `keepwire: ${tarball} is not what SHA256SUMS says.` })
    writeFileSync(path.join(folder, tarball), '')
    await assert.rejects(publish, { message: `keepwire: ${folder} is not all of a release.` })
    writeFileSync(path.join(folder, 'other.tgz'), '')
    await assert.rejects(publish, { message: 'keepwire: SHA256SUMS lacks other.tgz.' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a release has notes', () => {
  assert.ok(releaseNotes().length > 500)
})

test('the workflow publishes without a token, with provenance, and with checksums and the bill of materials', () => {
  const workflow = textOf('.github/workflows/ci.yml')
  const release = workflow.slice(workflow.indexOf('\n  release:'))
  for (const line of [
    "    if: github.ref_type == 'tag'",
    '    needs: [check, test, build, musl]',
    '      id-token: write',
    "      NPM_CONFIG_PROVENANCE: 'true'",
    '        run: node scripts/release.js make addons release',
    '        run: node scripts/release.js publish release',
  ]) {
    assert.ok(release.includes(`${line}\n`), line)
  }
  // All that is published is checked against its sum first, and goes to the release's page with SHA256SUMS.
  assert.match(release, /gh release create .* release\/\*\n/)
  assert.doesNotMatch(release, /npm publish|secrets\.|NODE_AUTH_TOKEN|NPM_TOKEN/)
  // Nobody else may ask for a token.
  assert.doesNotMatch(workflow.slice(0, workflow.indexOf('\n  release:')), /id-token/)
})
