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
 */
async function packMain(folder, into) {
  const { files } = await pack(root, null)
  for (const file of files) {
    if (file.startsWith('lib/native/')) continue
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.copyFileSync(path.join(root, file), path.join(folder, file))
  }
  writeBundle(folder)
  const { scripts: _scripts, devDependencies: _packages, ...published } = manifest
  const optionalDependencies = { [`keepwire-${target}`]: manifest.version }
  fs.writeFileSync(
    path.join(folder, 'package.json'),
    `${JSON.stringify({ ...published, optionalDependencies }, null, 2)}\n`,
  )
  return pack(folder, into)
}

/**
 * The package of this platform, with the addon that was built here.
 * @param {string} folder of the package, made
 * @param {string} into folder for the tarball
 */
async function packPlatform(folder, into) {
  const addon = `keepwire.${target}.node`
  const [system, cpu, library] = target.split('-')
  const isLinux = system === 'linux'
  fs.mkdirSync(folder, { recursive: true })
  fs.copyFileSync(path.join(root, 'lib', 'native', addon), path.join(folder, addon))
  fs.copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'))
  const platformManifest = {
    name: `keepwire-${target}`,
    version: manifest.version,
    description: `The addon of keepwire for ${target}`,
    license: manifest.license,
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
 * Both tarballs.
 * @param {string} into an empty folder
 */
async function packAll(into) {
  const work = path.join(into, 'work')
  const main = await packMain(path.join(work, 'main'), into)
  const platform = await packPlatform(path.join(work, 'platform'), into)
  fs.rmSync(work, { recursive: true })
  return { main, platform }
}

module.exports = { packAll, target }

if (require.main === module) {
  runScript(async () => {
    await ensureReady({ dev: false })
    const into = path.resolve(process.argv[2] ?? path.join(root, 'target', 'package'))
    fs.rmSync(into, { recursive: true, force: true })
    fs.mkdirSync(into, { recursive: true })
    const { main, platform } = await packAll(into)
    const glibc = lowestGlibc(path.join(root, 'lib', 'native', `keepwire.${target}.node`))
    say(
      `made the package and that of ${target}${glibc === null ? '' : `, for glibc ${glibc} and later`}; to install them:`,
    )
    console.log(`npm install ${main.tarball} ${platform.tarball}`)
  })
}
