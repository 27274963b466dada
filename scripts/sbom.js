'use strict'

// What a release is made of, as a CycloneDX bill of materials (https://cyclonedx.org/docs/1.5/json/): the packages of the platforms and
// the crates that are compiled into their addons, with licences and checksums. Crates that only run while it is built are none of it.

const { randomUUID } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const manifest = require('../package.json')
const { RELEASED } = require('./package.js')
const { root, run } = require('./process.js')
const { UserError } = require('./report.js')
const { findCargo } = require('./toolchain.js')

/**
 * @typedef {object} Crate of `cargo metadata`
 * @property {string} name
 * @property {string} version
 * @property {string | null} license
 * @property {string | null} description
 * @property {string | null} repository
 * @property {string | null} source
 */

/** @typedef {{ crate: Crate, uses: Set<string>, platforms: string[] }} Part `uses`: ids of crates */

/** @param {{ name: string, version: string }} crate */
const crateUrl = ({ name, version }) => `pkg:cargo/${name}@${encodeURIComponent(version)}`

/** @param {string} target */
const platformUrl = (target) => `pkg:npm/keepwire-${target}@${manifest.version}`

/** The checksums of Cargo.lock, by name and version. */
function checksums() {
  const text = fs.readFileSync(path.join(root, 'Cargo.lock'), 'utf8')
  const entries = text.matchAll(/^name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(\w+)"$/gm)
  return new Map(Array.from(entries, ([, name, version, sum]) => [`${name} ${version}`, sum]))
}

/** @param {string[]} args */
async function cargo(args) {
  const { code, stdout } = await run(await findCargo(), [...args, '--locked', '--quiet'], { capture: 'stdout' })
  if (code !== 0) throw new UserError(`cargo ${args[0]} failed.`)
  return stdout
}

/** What cargo knows of all crates, by id: their name and version. @returns {Promise<Map<string, Crate>>} */
async function allCrates() {
  const { packages } = JSON.parse(await cargo(['metadata', '--format-version', '1']))
  return new Map(packages.map((/** @type {Crate} */ crate) => [`${crate.name} ${crate.version}`, crate]))
}

/**
 * The crates in the addon of one platform: the id of each, with the ids of those that it uses.
 * `cargo metadata` would add what only tests need of them.
 * @param {string} triple
 * @returns {Promise<Map<string, Set<string>>>}
 */
async function cratesOf(triple) {
  const args = ['tree', '--edges', 'normal,no-proc-macro', '--target', triple, '--prefix', 'depth', '--format', ' {p}']
  /** @type {Map<string, Set<string>>} */
  const found = new Map()
  /** @type {string[]} */
  const above = []
  for (const [, depth, name, version] of (await cargo(args)).matchAll(/^(\d+) (\S+) v(\S+)/gm)) {
    const id = `${name} ${version}`
    if (!found.has(id)) found.set(id, new Set())
    above[Number(depth)] = id
    if (depth !== '0') found.get(above[Number(depth) - 1])?.add(id)
  }
  return found
}

/** @param {Part} part @param {Map<string, string>} sums */
function componentOf({ crate, platforms }, sums) {
  const { description, license, name, repository, source, version } = crate
  const sum = sums.get(`${name} ${version}`)
  if (source !== null && sum === undefined) throw new Error(`Cargo.lock has no checksum of ${name} ${version}`)
  return {
    type: 'library',
    'bom-ref': crateUrl(crate),
    name,
    version,
    ...(description === null ? {} : { description: description.trim() }),
    // Our own crate is in no registry.
    ...(source === null ? {} : { purl: crateUrl(crate) }),
    ...(sum === undefined ? {} : { hashes: [{ alg: 'SHA-256', content: sum }] }),
    // Old crates write "or" as a slash.
    ...(license === null ? {} : { licenses: [{ expression: license.replace(/ ?\/ ?/g, ' OR ') }] }),
    ...(repository === null ? {} : { externalReferences: [{ type: 'vcs', url: repository }] }),
    properties: platforms.map((value) => ({ name: 'keepwire:platform', value })),
  }
}

/**
 * @param {string[]} [targets] platforms, by the names of their packages; default: those of a release
 * @returns {Promise<object>} the document
 */
async function billOfMaterials(targets = [...RELEASED.keys()]) {
  const crates = await allCrates()
  /** @type {Map<string, Part>} */
  const parts = new Map()
  for (const target of targets) {
    for (const [id, uses] of await cratesOf(/** @type {string} */ (RELEASED.get(target)))) {
      const crate = /** @type {Crate} */ (crates.get(id))
      const part = parts.get(id) ?? { crate, uses: new Set(), platforms: [] }
      parts.set(id, part)
      part.platforms.push(target)
      for (const used of uses) part.uses.add(used)
    }
  }
  const sums = checksums()
  const own = crateUrl({ name: manifest.name, version: manifest.version })
  const main = `pkg:npm/keepwire@${manifest.version}`
  const urlOf = (/** @type {string} */ id) => crateUrl(/** @type {Part} */ (parts.get(id)).crate)
  const licenses = [{ license: { id: manifest.license } }]
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${randomUUID()}`,
    version: 1,
    metadata: {
      timestamp: new Date().toISOString(),
      component: {
        type: 'library',
        'bom-ref': main,
        name: 'keepwire',
        version: manifest.version,
        purl: main,
        licenses,
      },
    },
    components: [
      ...targets.map((target) => ({
        type: 'library',
        'bom-ref': platformUrl(target),
        name: `keepwire-${target}`,
        version: manifest.version,
        purl: platformUrl(target),
        scope: 'optional',
        licenses,
      })),
      ...Array.from(parts.values(), (part) => componentOf(part, sums)),
    ],
    dependencies: [
      { ref: main, dependsOn: targets.map(platformUrl) },
      ...targets.map((target) => ({ ref: platformUrl(target), dependsOn: [own] })),
      ...Array.from(parts.values(), ({ crate, uses }) => ({
        ref: crateUrl(crate),
        dependsOn: [...uses].map(urlOf),
      })),
    ],
  }
}

module.exports = { billOfMaterials }
