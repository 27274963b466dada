'use strict'

// `npm run clients [-- NAME=FOLDER…]`: the test suites of clients from npm, without keepwire, after keepwire/register, and after
// install({ request: true }). What passes without must pass with. Some of their tests need the internet; those fail
// everywhere if there is none. Where a package comes without its tests, the folder of its sources is given, such as a
// distribution's source package has: `node-fetch=FOLDER`. What its tests need is installed there.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { root, run, runNpm } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')
const { ensureReady } = require('./setup.js')

const folder = path.join(root, '.clients')
const FILE_TIMEOUT_MS = 60_000
/** Of a file, where a test fails that usually passes. */
const MOST_RUNS = 4

/**
 * @typedef {object} Client
 * @property {string} name
 * @property {string} version with its tests in the package
 * @property {boolean} [isGiven] whether its package has no tests: the folder of its sources must be given
 * @property {RegExp} files of its tests, in the folder `test`
 * @property {string[]} runner what runs one of them
 * @property {(output: string) => Iterable<[test: string, passed: boolean]>} results
 * @property {(home: string) => Promise<void>} [prepare]
 */

/** @type {Client[]} */
const CLIENTS = [
  {
    name: 'needle',
    version: '3.5.0',
    files: /_spec\.js$/,
    runner: ['node_modules/mocha/bin/_mocha', '--reporter', 'json', '--exit'],
    results: mochaResults,
    prepare: makeKeys,
  },
  {
    name: 'node-fetch',
    version: '3.3.2',
    isGiven: true,
    files: /\.js$/,
    runner: ['node_modules/mocha/bin/_mocha', '--reporter', 'json', '--exit'],
    results: mochaResults,
  },
  { name: 'hyperquest', version: '2.1.3', files: /\.js$/, runner: [], results: tapResults },
]

/** How the suites are run: what is loaded before. */
const WAYS = ['as they are', 'keepwire/register', 'install({ request: true })']

/** @param {string} output */
function mochaResults(output) {
  const { tests, failures } = JSON.parse(output.slice(output.indexOf('{\n  "stats"')))
  const failed = new Set(failures.map((/** @type {any} */ test) => test.fullTitle))
  return tests.map((/** @type {any} */ { fullTitle }) => [fullTitle, !failed.has(fullTitle)])
}

/** @param {string} output */
function tapResults(output) {
  return Array.from(
    output.matchAll(/^(not )?ok \d+ (.*)$/gm),
    ([, not, title]) => /** @type {[string, boolean]} */ ([title, !not]),
  )
}

/** The certificate of its test server is not in needle's package. @param {string} home */
async function makeKeys(home) {
  const { makeAuthority } = require(path.join(root, '__test__', 'support', 'authority.js'))
  const { server } = await makeAuthority()
  const keys = path.join(home, 'test', 'keys')
  fs.mkdirSync(keys, { recursive: true })
  fs.writeFileSync(path.join(keys, 'ssl.cert'), server.pem)
  fs.writeFileSync(path.join(keys, 'ssl.key'), server.key)
}

/**
 * @param {Client} client
 * @returns {Promise<string>} its folder, with all that its tests need
 */
async function fetchClient({ name, version, prepare }) {
  const place = path.join(folder, `${name}-${version}`)
  const home = path.join(place, 'node_modules', name)
  const done = path.join(place, 'ready')
  if (fs.existsSync(done)) return home
  say(`fetching ${name} ${version}`)
  fs.rmSync(place, { recursive: true, force: true })
  fs.mkdirSync(place, { recursive: true })
  fs.writeFileSync(path.join(place, 'package.json'), '{ "private": true }\n')
  await install([`${name}@${version}`, '--no-save'], place)
  await install([], home)
  await prepare?.(home)
  fs.writeFileSync(done, '')
  return home
}

/**
 * @param {string[]} what
 * @param {string} cwd
 */
async function install(what, cwd) {
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts', '--loglevel=error']
  const { code, output } = await runNpm(['install', ...what, ...quiet], { cwd, capture: 'both' })
  if (code !== 0) throw new UserError(`npm could not install ${what.join(' ')} in ${cwd}:\n${output.trim()}`)
}

/** What is loaded before the suites, by way. */
function preloads() {
  const request = path.join(folder, 'request.js')
  fs.writeFileSync(request, `require(${JSON.stringify(root)}).install({ request: true })\n`)
  return [[], ['--require', path.join(root, 'lib', 'register.js')], ['--require', request]]
}

/**
 * @param {Client} client
 * @param {string} home
 * @param {string} file of its tests
 * @param {string[]} flags
 * @returns {Promise<Map<string, boolean>>} whether each test passed
 */
async function runFile({ runner, results }, home, file, flags) {
  const args = [...flags, ...runner, path.join('test', file)]
  const { stdout, timedOut } = await run(process.execPath, args, {
    cwd: home,
    capture: 'both',
    timeoutMs: FILE_TIMEOUT_MS,
  })
  const told = new Map()
  if (timedOut) told.set(`${file} ends`, false)
  else
    for (const [test, passed] of results(stdout))
      told.set(`${file} ${test}`, told.get(`${file} ${test}`) !== false && passed)
  return told
}

/**
 * Files with a test that passes as they are and does not now are run again: some of them measure milliseconds.
 * @param {Client} client
 * @param {string} home
 * @param {string[]} flags
 * @param {Map<string, boolean>} usual what passes as they are
 * @returns {Promise<Map<string, boolean>>} whether each test passed
 */
async function runClient(client, home, flags, usual) {
  const told = new Map()
  for (const file of fs.readdirSync(path.join(home, 'test')).filter((name) => client.files.test(name))) {
    for (let runs = 0; runs === 0 || (runs < MOST_RUNS && lostOf(file, usual, told).length > 0); runs += 1) {
      for (const [test, passed] of await runFile(client, home, file, flags)) {
        told.set(test, passed || told.get(test) === true)
      }
    }
  }
  return told
}

/**
 * What passes as it is and did not now.
 * @param {string} file
 * @param {Map<string, boolean>} usual
 * @param {Map<string, boolean>} told
 */
function lostOf(file, usual, told) {
  return [...usual]
    .filter(([test, passes]) => passes && test.startsWith(file) && told.get(test) !== true)
    .map(([test]) => test)
}

/**
 * @param {string[]} given `NAME=FOLDER`
 * @returns {{ client: Client, home: string | undefined }[]} none given: those that npm has with their tests
 */
function chosen(given) {
  if (given.length === 0)
    return CLIENTS.filter(({ isGiven }) => !isGiven).map((client) => ({ client, home: undefined }))
  return given.map((text) => {
    const [name, home] = text.split('=')
    const client = CLIENTS.find((each) => each.name === name)
    if (client === undefined || home === undefined) throw new UserError(`"${text}" is not a client and its folder.`)
    return { client, home: path.resolve(home) }
  })
}

/** @param {string} home of its sources */
async function prepareGiven(home) {
  if (!fs.existsSync(path.join(home, 'node_modules'))) await install([], home)
  return home
}

runScript(async () => {
  const clients = chosen(process.argv.slice(2))
  await ensureReady({ dev: true, quick: true })
  fs.mkdirSync(folder, { recursive: true })
  const lines = []
  const ways = preloads()
  for (const { client, home: given } of clients) {
    const home = given === undefined ? await fetchClient(client) : await prepareGiven(given)
    /** @type {Map<string, boolean>} */
    let usual = new Map()
    for (const [at, flags] of ways.entries()) {
      say(`tests of ${client.name}: ${WAYS[at]}`)
      const told = await runClient(client, home, flags, usual)
      if (at === 0) usual = told
      const passed = [...told.values()].filter(Boolean).length
      const lost = lostOf('', usual, told)
      lines.push(`${`${client.name} ${client.version}`.padEnd(20)}${WAYS[at].padEnd(28)}${passed} of ${told.size} pass`)
      for (const test of lost) lines.push(`  only without: ${test}`)
      if (lost.length > 0) process.exitCode = 1
    }
  }
  console.log(`\n${lines.join('\n')}\n`)
})
