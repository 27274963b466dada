'use strict'

// `npm run runtimes [-- name…]`: fetches the runtimes that keepwire is tested on from npm into .runtimes, each checked
// by asking for its version. What is there already is kept.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { libc } = require('../lib/bridge/target.js')
const { isWindows, root, run, runNpm } = require('./process.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')

const folder = path.join(root, '.runtimes')

/**
 * The one table of versions. `agents`: whether its http.request uses the agent it is given; a runtime that doesn't runs
 * only the tests that need no agent.
 * @type {{ name: string, kind: 'node' | 'bun' | 'deno', version: string, agents: boolean }[]}
 */
const RUNTIMES = [
  { name: 'node18', kind: 'node', version: '18.20.8', agents: true },
  { name: 'node20', kind: 'node', version: '20.20.2', agents: true },
  { name: 'node22', kind: 'node', version: '22.23.3', agents: true },
  { name: 'node24', kind: 'node', version: '24.21.0', agents: true },
  { name: 'node26', kind: 'node', version: '26.10.0', agents: true },
  { name: 'bun1.2', kind: 'bun', version: '1.2.23', agents: false },
  { name: 'bun1.3', kind: 'bun', version: '1.3.3', agents: false },
  { name: 'bun1.3.4', kind: 'bun', version: '1.3.4', agents: false },
  { name: 'bun1.4', kind: 'bun', version: '1.4.5', agents: true },
  { name: 'deno2', kind: 'deno', version: '2.9.6', agents: true },
]

const SYSTEMS = {
  node: { linux: 'linux', darwin: 'darwin', win32: 'win' },
  bun: { linux: 'linux', darwin: 'darwin', win32: 'windows' },
  deno: { linux: 'linux', darwin: 'darwin', win32: 'win32' },
}

/**
 * The npm package with this kind's executable for this machine, and where in it the executable is.
 * @param {'node' | 'bun' | 'deno'} kind
 */
function packageFor(kind) {
  const system = SYSTEMS[kind][/** @type {'linux' | 'darwin' | 'win32'} */ (process.platform)]
  const { arch } = process
  const isMusl = libc() === 'musl'
  if (system === undefined || !['x64', 'arm64'].includes(arch) || (isMusl && kind !== 'bun')) {
    throw new UserError(`npm has no ${kind} for ${process.platform} ${arch}${isMusl ? ' with musl' : ''}.`)
  }
  const suffix = isWindows ? '.exe' : ''
  if (kind === 'node') return { name: `node-${system}-${arch}`, executable: `bin/node${suffix}` }
  if (kind === 'bun') {
    const cpu = arch === 'arm64' ? 'aarch64' : arch
    return { name: `@oven/bun-${system}-${cpu}${isMusl ? '-musl' : ''}`, executable: `bin/bun${suffix}` }
  }
  return { name: `@deno/${system}-${arch}${system === 'linux' ? '-glibc' : ''}`, executable: `deno${suffix}` }
}

/**
 * @param {string} command
 * @param {string} version
 */
async function answers(command, version) {
  if (!fs.existsSync(command)) return false
  const { code, output } = await run(command, ['--version'], { capture: 'both' })
  return code === 0 && output.split(/\s+/).some((word) => word.replace(/^v/, '') === version)
}

/**
 * @param {typeof RUNTIMES[number]} runtime
 * @returns {Promise<import('./suite.js').Runtime & { agents: boolean }>}
 */
async function fetchRuntime({ name, kind, version, agents }) {
  const { name: packageName, executable } = packageFor(kind)
  const home = path.join(folder, `${name}-${version}`)
  const command = path.join(home, 'node_modules', packageName, executable)
  const ready = { name: `${name} (${version})`, kind, command, agents }
  if (await answers(command, version)) return ready

  const startedAt = performance.now()
  say(`fetching ${packageName} ${version}`)
  fs.rmSync(home, { recursive: true, force: true })
  fs.mkdirSync(home, { recursive: true })
  fs.writeFileSync(path.join(home, 'package.json'), '{ "private": true }\n')
  const args = [
    'install',
    `${packageName}@${version}`,
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--loglevel=error',
  ]
  const { code, output } = await runNpm([...args, '--no-package-lock', '--no-save', '--no-bin-links'], {
    cwd: home,
    capture: 'both',
  })
  if (code !== 0) throw new UserError(`npm could not install ${packageName} ${version}:\n${output.trim()}`)
  if (!isWindows) fs.chmodSync(command, 0o755)
  if (!(await answers(command, version))) throw new UserError(`${command} does not run as version ${version}.`)
  say(`fetched ${name} in ${secondsSince(startedAt)}`)
  return ready
}

/**
 * @param {string[]} [names] names in the table, or their beginnings (`node`, `bun1.4`); none: all
 * @param {string[]} [except] those that are left out, in the same way, if they are in it
 */
async function fetchRuntimes(names = [], except = []) {
  const unknown = names.find((name) => !RUNTIMES.some((runtime) => runtime.name.startsWith(name)))
  if (unknown !== undefined) {
    throw new UserError(`there is no runtime "${unknown}": choose from ${RUNTIMES.map(({ name }) => name).join(', ')}.`)
  }
  /** @param {string} name @param {string[]} starts */
  const isOneOf = (name, starts) => starts.some((start) => name.startsWith(start))
  const wanted = RUNTIMES.filter(({ name }) => (names.length === 0 || isOneOf(name, names)) && !isOneOf(name, except))
  const ready = []
  for (const runtime of wanted) ready.push(await fetchRuntime(runtime))
  return ready
}

module.exports = { fetchRuntimes }

if (require.main === module) {
  runScript(async () => {
    for (const { name, command } of await fetchRuntimes(process.argv.slice(2))) {
      console.log(`${name.padEnd(18)} ${path.relative(root, command)}`)
    }
  })
}
