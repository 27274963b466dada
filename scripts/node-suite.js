'use strict'

// `npm run node-suite -- FOLDER [WORD…]`: Node's own tests of http and https, and of its proxies, out of a checkout of its sources of
// this Node's major version, as they are, after install(), and after install({ request: true }). What passes as it is must pass,
// but for those below. Takes some minutes. Those of proxies pass on later versions, too.

require('./node-version.js')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { root } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')
const { ensureReady } = require('./setup.js')

const TEST_TIMEOUT_MS = 30_000
/** Where its tests of proxies are, which send their requests from processes of their own. */
const PROXIES = 'client-proxy'
/** Some of the tests measure milliseconds. */
const MOST_RUNS = 3

const WAYS = {
  'as they are': undefined,
  'install()': {},
  'install({ request: true })': { request: true },
}

/**
 * Tests that may fail with keepwire, by the sentence of docs/ that says why: a test looks whether it is there.
 * @type {{ page: string, says: string, tests: string[] }[]}
 */
const EXPECTED = [
  {
    page: 'docs/differences.md',
    says: 'handles, parsers, timers, hidden classes and listeners of the runtime',
    tests: [
      'http-agent-domain-reused-gc',
      'http-agent-timeout-option',
      'http-client-set-timeout',
      'http-client-set-timeout-after-end',
      'http-client-spurious-aborted',
      'http-client-timeout-on-connect',
      'http-client-timeout-option-with-agent',
      'http-client-timeout-option-listeners',
      'http-parser-lazy-loaded',
      'http-parser-memory-retention',
      'http-same-map',
    ],
  },
  {
    page: 'docs/differences.md',
    says: '`agent.addRequest()` takes requests, not other objects that have some of their methods',
    tests: ['http-addrequest-localaddress', 'http-agent-uninitialized', 'http-agent-uninitialized-with-handle'],
  },
  {
    page: 'docs/differences.md',
    says: '`agent.sockets` no longer has the connection of a request that is over or aborted',
    tests: ['http-agent-maxsockets-respected', 'http-keep-alive', 'http-keep-alive-close-on-header'],
  },
  {
    page: 'docs/differences.md',
    says: 'a waiting request can be aborted, and its `timeout` fires',
    tests: ['http-abort-queued'],
  },
  {
    page: 'docs/differences.md',
    says: "no `'free'` tells of a connection that is opened for a waiting request",
    tests: ['http-agent-destroyed-socket'],
  },
  {
    page: 'docs/differences.md',
    says: "where two things happen at once, as a peer's abort and the end of a response, either may be told first",
    tests: ['http-writable-true-after-close'],
  },
  {
    page: 'docs/https.md',
    says: 'a list of two certificates, for example, ends in `ca*2`',
    tests: ['https-agent-getname'],
  },
  {
    page: 'docs/https.md',
    says: '`getSession()`, `getTLSTicket()`, `getFinished()` and `getPeerFinished()` are `undefined`',
    tests: ['https-agent-disable-session-reuse', 'https-agent-session-reuse'],
  },
  {
    page: 'docs/https.md',
    says: '`renegotiate()` is refused',
    tests: ['https-client-renegotiation-limit'],
  },
  {
    page: 'docs/https.md',
    says: "has two `'socket'` events and makes the server see two connections",
    tests: ['https-agent-keylog'],
  },
]

const expected = new Set(EXPECTED.flatMap(({ tests }) => tests))

/**
 * @param {string} folder
 * @param {string[]} words
 * @returns {string[]} files
 */
function testsIn(folder, words) {
  const found = ['parallel', 'sequential'].flatMap((part) => {
    const home = path.join(folder, 'test', part)
    if (!fs.existsSync(home)) throw new UserError(`there is no ${home}: give the folder of Node's sources.`)
    return fs.readdirSync(home).map((file) => path.join(home, file))
  })
  const ofHttp = found.filter((file) => /^https?-/.test(nameOf(file)))
  const isChosen = (/** @type {string} */ file) => words.length === 0 || words.some((word) => file.includes(word))
  return [...ofHttp, ...proxyTestsIn(folder)].filter(isChosen)
}

/** @param {string} folder */
function proxyTestsIn(folder) {
  const home = path.join(folder, 'test', PROXIES)
  const files = fs.existsSync(home) ? fs.readdirSync(home) : []
  return files.filter((file) => /^test-.*\.mjs$/.test(file)).map((file) => path.join(home, file))
}

/** @param {string} file */
function nameOf(file) {
  return path.basename(file).replace(/^test-|\.m?js$/g, '')
}

/**
 * @param {string} file
 * @param {string} cwd
 * @param {string[]} preload
 * @returns {Promise<boolean>} whether it passed
 */
function runTest(file, cwd, preload) {
  const [, flags = ''] = /^\/\/ Flags: (.*)$/m.exec(fs.readFileSync(file, 'utf8')) ?? []
  const isOfProxies = path.basename(path.dirname(file)) === PROXIES
  const loaded = isOfProxies ? [] : preload
  const inherited = isOfProxies && preload.length > 0 ? { NODE_OPTIONS: preload.join('=') } : {}
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags.split(' ').filter(Boolean), ...loaded, file], {
      cwd,
      stdio: 'ignore',
      timeout: TEST_TIMEOUT_MS,
      killSignal: 'SIGKILL',
      env: { ...process.env, ...inherited, NODE_TEST_DIR: fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-node-')) },
    })
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0))
  })
}

/**
 * @param {string} file
 * @param {string} cwd
 * @param {string[]} preload
 */
async function passes(file, cwd, preload) {
  for (let run = 0; run < MOST_RUNS; run += 1) if (await runTest(file, cwd, preload)) return true
  return false
}

/** @param {string} home where the preloaded scripts go @returns {[way: string, preload: string[]][]} */
function preloads(home) {
  return Object.entries(WAYS).map(([way, options], at) => {
    if (options === undefined) return [way, []]
    const script = path.join(home, `install-${at}.js`)
    fs.writeFileSync(script, `require(${JSON.stringify(root)}).install(${JSON.stringify(options)})\n`)
    return [way, ['--require', script]]
  })
}

async function main() {
  const [given, ...words] = process.argv.slice(2)
  if (given === undefined) throw new UserError("give the folder of Node's sources, of this Node's major version.")
  const folder = path.resolve(given)
  const tests = testsIn(folder, words)
  await ensureReady({ dev: false, quick: true })
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-node-suite-'))
  const [[, plain], ...ways] = preloads(home)
  const usable = []
  for (const file of tests) if (await passes(file, folder, plain)) usable.push(file)
  say(`${usable.length} of ${tests.length} tests pass on Node ${process.versions.node} as they are`)
  for (const [way, preload] of ways) {
    const failed = []
    for (const file of usable) if (!(await passes(file, folder, preload))) failed.push(nameOf(file))
    const surprising = failed.filter((name) => !expected.has(name))
    say(`${way}: ${usable.length - failed.length} pass, ${failed.length - surprising.length} fail as expected`)
    for (const name of surprising) console.log(`  fails: ${name}`)
    if (surprising.length > 0) process.exitCode = 1
  }
  fs.rmSync(home, { recursive: true })
}

if (require.main === module) runScript(main)

module.exports = { EXPECTED }
