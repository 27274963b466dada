'use strict'

// `npm run package [-- FOLDER]`: the tarballs that `npm install *.tgz` takes, as a release would publish them for this
// platform: keepwire-<version>.tgz, and keepwire-<platform>-<version>.tgz with its addon. Default folder: target/package.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const manifest = require('../package.json')
const { nativeTargets } = require('../lib/bridge/target.js')
const { writeBundle } = require('./bundle.js')
const { lowestGlibc } = require('./glibc.js')
const { ensureReady } = require('./setup.js')
const { root, runNpm } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')

const target = nativeTargets()[0]
const NATIVE = path.join(root, 'lib', 'native')

const CPUS = /** @type {Record<string, string>} */ ({ x86_64: 'x64', aarch64: 'arm64' })
const SYSTEMS = /** @type {Record<string, [string, string]>} */ ({
  'unknown-linux-gnu': ['linux', '-gnu'],
  'unknown-linux-musl': ['linux', '-musl'],
  'apple-darwin': ['darwin', ''],
  'pc-windows-msvc': ['win32', '-msvc'],
})

/**
 * What a release has an addon for, by the names of its packages, each with what Rust calls it.
 * @type {Map<string, string>}
 */
const RELEASED = new Map(
  manifest.napi.targets.map((triple) => {
    const [, cpu, rest] = /** @type {RegExpExecArray} */ (/^(\w+?)-(.+)$/.exec(triple))
    const [system, library] = SYSTEMS[rest]
    return [`${system}-${CPUS[cpu]}${library}`, triple]
  }),
)

/**
 * @typedef {object} Packed
 * @property {string} tarball
 * @property {string[]} files
 * @property {number} bytes unpacked
 */

/**
 * @param {string} from folder of the package
 * @param {string | null} into folder for the tarball; null: none is written
 * @returns {Promise<Packed>}
 */
async function pack(from, into) {
  const args = ['pack', '--json', '--ignore-scripts', '--loglevel=error']
  args.push(...(into === null ? ['--dry-run'] : ['--pack-destination', into]))
  const { code, stdout } = await runNpm(args, { cwd: from, capture: 'stdout' })
  if (code !== 0) throw new UserError(`npm pack failed in ${from}.`)
  const [{ filename, files, unpackedSize }] = JSON.parse(stdout)
  return {
    tarball: path.join(into ?? '', path.basename(filename)),
    files: files.map((/** @type {{ path: string }} */ file) => file.path),
    bytes: unpackedSize,
  }
}

/**
 * keepwire as the registry has it: without an addon, which its platform packages have, and with all modules in one file.
 * @param {string} folder of the package, made
 * @param {string} into folder for the tarball
 * @param {string[]} targets whose packages it asks for
 */
async function packMain(folder, into, targets) {
  const { files } = await pack(root, null)
  for (const file of files) {
    if (file.startsWith('lib/native/')) continue
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.copyFileSync(path.join(root, file), path.join(folder, file))
  }
  writeBundle(folder)
  const { scripts: _scripts, devDependencies: _packages, ...published } = manifest
  const optionalDependencies = Object.fromEntries(targets.map((name) => [`keepwire-${name}`, manifest.version]))
  fs.writeFileSync(
    path.join(folder, 'package.json'),
    `${JSON.stringify({ ...published, optionalDependencies }, null, 2)}\n`,
  )
  return pack(folder, into)
}

/**
 * The package of one platform.
 * @param {string} target
 * @param {string} addons folder that has its addon
 * @param {string} folder of the package, made
 * @param {string} into folder for the tarball
 */
async function packPlatform(target, addons, folder, into) {
  const addon = `keepwire.${target}.node`
  if (!fs.existsSync(path.join(addons, addon))) throw new UserError(`there is no ${addon} in ${addons}.`)
  const [system, cpu, library] = target.split('-')
  const isLinux = system === 'linux'
  fs.mkdirSync(folder, { recursive: true })
  fs.copyFileSync(path.join(addons, addon), path.join(folder, addon))
  fs.copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'))
  const platformManifest = {
    name: `keepwire-${target}`,
    version: manifest.version,
    description: `The addon of keepwire for ${target}`,
    license: manifest.license,
    // Set by the release: provenance names it.
    ...('repository' in manifest ? { repository: manifest.repository } : {}),
    main: addon,
    files: [addon],
    engines: manifest.engines,
    os: [system],
    cpu: [cpu],
    ...(isLinux ? { libc: [library === 'musl' ? 'musl' : 'glibc'] } : {}),
  }
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(platformManifest, null, 2)}\n`)
  return pack(folder, into)
}

/**
 * The tarballs of the package and of platforms' addons.
 * @param {string} into an empty folder
 * @param {{ addons?: string, targets?: string[] }} [from] default: the addon that was built here
 */
async function packAll(into, { addons = NATIVE, targets = [target] } = {}) {
  const work = path.join(into, 'work')
  /** @type {Packed[]} */
  const platforms = []
  for (const name of targets) platforms.push(await packPlatform(name, addons, path.join(work, name), into))
  const main = await packMain(path.join(work, 'main'), into, targets)
  fs.rmSync(work, { recursive: true })
  return { main, platforms }
}

module.exports = { RELEASED, packAll, target }

if (require.main === module) {
  runScript(async () => {
    await ensureReady({ dev: false })
    const into = path.resolve(process.argv[2] ?? path.join(root, 'target', 'package'))
    fs.rmSync(into, { recursive: true, force: true })
    fs.mkdirSync(into, { recursive: true })
    const { main, platforms } = await packAll(into)
    const glibc = lowestGlibc(path.join(NATIVE, `keepwire.${target}.node`))
    say(
      `made the package and that of ${target}${glibc === null ? '' : `, for glibc ${glibc} and later`}; to install them:`,
    )
    console.log(`npm install ${main.tarball} ${platforms[0].tarball}`)
  })
}
