'use strict'

// What the release workflow calls, and `npm run rehearse` for one platform:
// `node scripts/release.js make ADDONS FOLDER`: out of a folder with the addons of all platforms, everything that a release has: tarballs, a
//   bill of materials and SHA256SUMS.
// `node scripts/release.js publish FOLDER`: publishes these tarballs to the registry that npm is told of, after a look at their sums. Those that
//   are there already, byte for byte, stay: a release that was interrupted is begun again.
// `node scripts/release.js notes`: what CHANGELOG.md says of this version.

require('./node-version.js')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const manifest = require('../package.json')
const { RELEASED, packAll } = require('./package.js')
const { root, runNpm } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')
const { billOfMaterials } = require('./sbom.js')

const USAGE = 'usage: node scripts/release.js make ADDONS FOLDER | publish FOLDER | notes'
const SUMS = 'SHA256SUMS'
const BILL = `keepwire-${manifest.version}.cdx.json`
const MAIN = `keepwire-${manifest.version}.tgz`

/**
 * @param {'sha256' | 'sha512'} algorithm
 * @param {string} file
 */
const digestOf = (algorithm, file) => createHash(algorithm).update(fs.readFileSync(file))

/**
 * @param {string} addons
 * @param {string} into an empty folder
 * @param {string[]} [targets] default: all
 */
async function makeRelease(addons, into, targets = [...RELEASED.keys()]) {
  const packed = await packAll(into, { addons, targets })
  fs.writeFileSync(path.join(into, BILL), `${JSON.stringify(await billOfMaterials(targets), null, 2)}\n`)
  const files = [...packed.platforms, packed.main].map(({ tarball }) => path.basename(tarball))
  const lines = [...files, BILL].map((file) => `${digestOf('sha256', path.join(into, file)).digest('hex')}  ${file}\n`)
  // As `sha256sum --check` reads it.
  fs.writeFileSync(path.join(into, SUMS), lines.join(''))
  return packed
}

/**
 * The tarballs of a release, the platforms' first: who installs keepwire in between must find them.
 * @param {string} folder
 */
function checkedTarballs(folder) {
  const lines = fs.readFileSync(path.join(folder, SUMS), 'utf8').trim().split('\n')
  const files = lines.map((line) => {
    const [sum, file] = line.split('  ')
    if (digestOf('sha256', path.join(folder, file)).digest('hex') !== sum) {
      throw new UserError(`${file} is not what ${SUMS} says.`)
    }
    return file
  })
  const unlisted = fs.readdirSync(folder).filter((file) => file.endsWith('.tgz') && !files.includes(file))
  if (unlisted.length > 0) throw new UserError(`${SUMS} lacks ${unlisted.join(', ')}.`)
  const tarballs = files.filter((file) => file.endsWith('.tgz') && file !== MAIN)
  if (!files.includes(MAIN) || tarballs.length === 0) throw new UserError(`${folder} is not all of a release.`)
  return [...tarballs, MAIN]
}

/**
 * @param {string} folder that `make` has made
 * @param {NodeJS.ProcessEnv} [env] added to this process's own
 * @returns {Promise<string[]>} what was not there already
 */
async function publishRelease(folder, env = {}) {
  const published = []
  for (const file of checkedTarballs(folder)) {
    const tarball = path.join(folder, file)
    const name = file.slice(0, -`-${manifest.version}.tgz`.length)
    const ask = ['view', `${name}@${manifest.version}`, 'dist.integrity', '--prefer-online', '--loglevel=silent']
    const there = (await runNpm(ask, { cwd: folder, env, capture: 'stdout' })).stdout.trim()
    if (there !== '') {
      const ours = `sha512-${digestOf('sha512', tarball).digest('base64')}`
      if (there !== ours) throw new UserError(`${name} ${manifest.version} is published already, and is another one.`)
      say(`${name} ${manifest.version} is there already`)
      continue
    }
    const args = ['publish', tarball, '--access', 'public', '--loglevel=error']
    const { code, output } = await runNpm(args, { cwd: folder, env, capture: 'both' })
    if (code !== 0) throw new UserError(`npm publish of ${file} failed:\n${output.trim()}`)
    say(`published ${name} ${manifest.version}`)
    published.push(name)
  }
  return published
}

/** What CHANGELOG.md says of this version, without its heading. */
function releaseNotes() {
  const sections = fs.readFileSync(path.join(root, 'CHANGELOG.md'), 'utf8').split(/^## /m)
  const section = sections.find((each) => each.startsWith(`[${manifest.version}]`))
  if (section === undefined) throw new UserError(`CHANGELOG.md says nothing of ${manifest.version}.`)
  return section.slice(section.indexOf('\n')).trim()
}

module.exports = { makeRelease, publishRelease, releaseNotes }

if (require.main === module) {
  runScript(async () => {
    const [command, ...folders] = process.argv.slice(2).map((arg, at) => (at === 0 ? arg : path.resolve(arg)))
    if (command === 'make' && folders.length === 2) {
      const [addons, into] = folders
      fs.mkdirSync(into, { recursive: true })
      const { platforms } = await makeRelease(addons, into)
      say(`made keepwire ${manifest.version}, and ${platforms.length} packages of platforms, in ${into}`)
    } else if (command === 'publish' && folders.length === 1) await publishRelease(folders[0])
    else if (command === 'notes' && folders.length === 0) console.log(releaseNotes())
    else throw new UserError(USAGE)
  })
}
