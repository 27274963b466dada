'use strict'

// `npm run faults`: panics in the engine, as JavaScript sees them. Compiles the addon with panics on demand
// (src/faults.rs) into a copy of the package under target/, where nobody else finds it, and runs __test__/long/faults.js
// with that.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { nativeTargets } = require('../lib/bridge/target.js')
const { compile } = require('./build.js')
const { root, run } = require('./process.js')
const { runScript, say, secondsSince } = require('./report.js')
const { findCargo } = require('./toolchain.js')

const home = path.join(root, 'target', 'faults', 'keepwire')

/** @param {string} library */
function makePackage(library) {
  fs.rmSync(home, { recursive: true, force: true })
  for (const part of ['package.json', 'index.js', 'lib']) {
    const from = path.join(root, part)
    const isNative = (/** @type {string} */ file) => file === path.join(root, 'lib', 'native')
    fs.cpSync(from, path.join(home, part), { recursive: true, filter: (file) => !isNative(file) })
  }
  fs.mkdirSync(path.join(home, 'lib', 'native'))
  fs.copyFileSync(library, path.join(home, 'lib', 'native', `keepwire.${nativeTargets()[0]}.node`))
}

runScript(async () => {
  const startedAt = performance.now()
  say('building the addon with panics on demand (cargo build, release)')
  // The release profile, since its dependencies are compiled already.
  makePackage(await compile(await findCargo(), ['--release', '--features', 'fault-injection']))
  say(`built in ${secondsSince(startedAt)}`)
  const test = path.join(root, '__test__', 'long', 'faults.js')
  const authority = path.join(home, 'authority.pem')
  fs.writeFileSync(authority, require('../__test__/support/fetch-tls.js').ca)
  // The panics are told on standard error: shown only if something else than they goes wrong.
  const { code, output } = await run(process.execPath, [test, home, ...process.argv.slice(2)], {
    capture: 'both',
    env: { NODE_EXTRA_CA_CERTS: authority },
  })
  console.log(code === 0 ? output.replace(/^(?![\w, ]+: \d+ requests|the engine's).*\n/gm, '') : output)
  if (code !== 0) process.exitCode = 1
})
