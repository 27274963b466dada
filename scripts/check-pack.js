'use strict'

// `npm run check:pack`: makes the package as npm would publish it, checks what is in it, installs it into an empty
// project as a user would, without and with a platform package, and uses it there.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { packAll, target } = require('./package.js')
const { ensureReady } = require('./setup.js')
const { run, runNpm } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')

const REQUIRED = [
  'LICENSE',
  'README.md',
  'bin/keepwire.js',
  'index.d.ts',
  'index.js',
  'lib/bridge/target.js',
  'lib/bridge/native.js',
  'lib/bundle.js',
  'lib/bundle.js.map',
  'package.json',
]
const ALLOWED =
  /^(LICENSE|README\.md|index\.js|index\.d\.ts|package\.json|bin\/keepwire\.js|docs\/[\w-]+\.md|docs\/grafana\/[\w-]+\.json|types\/[\w-]+\.d\.ts|lib\/([\w-]+\/)*[\w-]+\.m?js|lib\/bundle\.\w+\.js|lib\/dashboard\/page\/[\w-]+\.(html|css|svg)|lib\/bundle\.(\w+\.)?js\.map)$/
/** All modules are in it twice, as files and without comments in one: 90 KB for the dashboard's server. Its page is in it once, 55 KB;
 * `keepwire bench` and `keepwire/otel`'s spans are 60 KB of it, the pages of docs/ 120 KB. Each file of `lib` costs half a KB in both. */
const MAX_UNPACKED_BYTES = 1.8 * 1024 * 1024

const USE_REQUIRE = `
const http = require('node:http')
const { Agent } = require('keepwire')
const agent = new Agent({ keepAlive: true })
const server = http.createServer((request, response) => response.end('works')).listen(0, '127.0.0.1', () => {
  http.get({ host: '127.0.0.1', port: server.address().port, agent }, (response) => {
    response.setEncoding('utf8').on('data', (text) => console.log(text)).on('end', () => {
      agent.destroy()
      server.close()
    })
  })
})
`
const USE_IMPORT = `
import { Agent, http, install, totals } from 'keepwire'
import { dashboard } from 'keepwire/dashboard'
import standIn, { get } from 'keepwire/http'
import { metricProducer } from 'keepwire/otel'
import { metrics } from 'keepwire/prometheus'
import 'keepwire/register'
if (http.Agent !== Agent || standIn !== http || http.get !== get) throw new Error('two agents')
if (typeof totals() !== 'object' || !metrics().startsWith('# HELP')) throw new Error('no metrics')
if (typeof metricProducer().collect !== 'function') throw new Error('no producer')
const board = await dashboard({ port: 0 })
const page = await fetch(board.url)
if (!page.ok || !(await page.text()).includes('<title>keepwire')) throw new Error('no dashboard')
await board.close()
install()
console.log('works')
`

/** @param {import('./package.js').Packed} packed */
function checkContents({ files, bytes }) {
  const missing = REQUIRED.filter((file) => !files.includes(file))
  const unwanted = files.filter((file) => !ALLOWED.test(file) || file.startsWith('lib/native/'))
  if (missing.length > 0) throw new UserError(`the package lacks ${missing.join(', ')}.`)
  if (unwanted.length > 0) throw new UserError(`the package has what users do not need: ${unwanted.join(', ')}.`)
  if (bytes > MAX_UNPACKED_BYTES)
    throw new UserError(`the package is ${bytes} bytes unpacked; expected less than ${MAX_UNPACKED_BYTES}.`)
}

/**
 * @param {string} project
 * @param {string} tarball
 */
async function installTarball(project, tarball) {
  const args = ['install', tarball, '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output } = await runNpm(args, { cwd: project, capture: 'both' })
  if (code !== 0) throw new UserError(`npm install of ${path.basename(tarball)} failed:\n${output.trim()}`)
}

/**
 * @param {string} project
 * @param {string[]} args
 */
function runNode(project, args) {
  return run(process.execPath, args, { cwd: project, capture: 'both', timeoutMs: 30_000 })
}

/** @param {string} scratch an empty folder */
async function check(scratch) {
  const {
    main,
    platforms: [platform],
  } = await packAll(scratch)
  checkContents(main)
  say(`the package has ${main.files.length} files, ${main.bytes} bytes`)

  const project = path.join(scratch, 'project')
  fs.mkdirSync(project)
  fs.writeFileSync(path.join(project, 'package.json'), '{ "private": true }')
  fs.writeFileSync(path.join(project, 'use.js'), USE_REQUIRE)
  fs.writeFileSync(path.join(project, 'use.mjs'), USE_IMPORT)

  await installTarball(project, main.tarball)
  const installed = path.join(project, 'node_modules', 'keepwire', 'package.json')
  const { dependencies, scripts } = JSON.parse(fs.readFileSync(installed, 'utf8'))
  assert.deepStrictEqual({ dependencies, scripts }, { dependencies: undefined, scripts: undefined })
  const without = await runNode(project, ['use.js'])
  assert.notStrictEqual(without.code, 0, 'the package loaded without an addon')
  for (const words of ['ERR_KEEPWIRE_ADDON', `keepwire.${target}.node`, `keepwire-${target}`, 'What to do']) {
    assert.ok(without.output.includes(words), `without an addon, the message lacks "${words}":\n${without.output}`)
  }

  await installTarball(project, platform.tarball)
  for (const file of ['use.js', 'use.mjs']) {
    const { code, output } = await runNode(project, [file])
    assert.strictEqual(`${code} ${output.trim()}`, '0 works', `${file} in a project with keepwire-${target}`)
  }
  say(`installed and used it with keepwire-${target}`)
}

runScript(async () => {
  await ensureReady({ dev: false })
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-pack-'))
  try {
    await check(scratch)
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true })
  }
})
