'use strict'

// The lines of the `sh` blocks in README and docs/ run as they stand there, in a project that has keepwire, with local servers in place of
// those that they name. scripts/docs/shell.js says which of them run here, which in `npm run rehearse`, and which nowhere, and why.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { LINES, allBlocks, linesFor, linesOf } = require('../../scripts/docs/shell')
const { ca, cert, key } = require('../support/fetch-tls')
const { baseline, runtimeName } = require('../support/runtime')
const { test } = require('../support/suite')

const root = path.join(__dirname, '..', '..')
const DEADLINE_MS = 60_000

/** Pictures, output, and lists that tests read. */
const NO_CODE = ['', 'floors', 'floors-src']
/** Pages whose JavaScript runs in __test__/install/examples.test.js and migration.test.js. */
const HAS_EXAMPLES = /^(README\.md|docs\/[\w-]+\.md)$/

test('each block of code in README and docs/ is one that somebody runs', () => {
  const blocks = allBlocks()
  for (const { code, language, page } of blocks) {
    assert.ok(['js', 'sh', ...NO_CODE].includes(language), `${page}: ${language}`)
    if (language === 'js') assert.match(page, HAS_EXAMPLES)
    // What looks like a command is one.
    if (language === '') assert.doesNotMatch(code, /^(npm|npx|node|bun|deno|cargo) /m, page)
  }
  const lines = new Set(blocks.filter(({ language }) => language === 'sh').flatMap(linesOf))
  assert.deepStrictEqual([...lines].sort(), Object.keys(LINES).sort())
})

test('each line that runs here has a test', () => {
  assert.deepStrictEqual(Object.keys(TESTS).sort(), linesFor('test').sort())
})

const PROGRAM = `'use strict'
const http = require('node:http')
const request = http.get(process.env.SERVER, (response) => {
  response.resume().once('end', async () => {
    const { explain, stats } = require('keepwire')
    const { carriedBy } = explain(request) ?? {}
    await (await fetch(process.env.SERVER)).text()
    const created = Object.values(stats().origins).reduce((sum, origin) => sum + origin.created, 0)
    console.log(JSON.stringify({ carriedBy, created }))
  })
})
`

/** A folder with keepwire, and undici, in its node_modules. */
function project(scope) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-shell-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const modules = path.join(folder, 'node_modules')
  fs.mkdirSync(path.join(modules, '.bin'), { recursive: true })
  fs.symlinkSync(root, path.join(modules, 'keepwire'))
  fs.symlinkSync(path.join(root, 'node_modules', 'undici'), path.join(modules, 'undici'))
  fs.symlinkSync('../keepwire/bin/keepwire.js', path.join(modules, '.bin', 'keepwire'))
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true, "type": "commonjs" }')
  fs.writeFileSync(path.join(folder, 'program.js'), PROGRAM)
  fs.writeFileSync(path.join(folder, 'app.js'), 'setInterval(() => {}, 1000)')
  return folder
}

/**
 * Runs a line in a shell. `said(pattern)` waits until it has printed that.
 * @param {string} line
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 */
function shell(scope, line, { cwd, env = {} }) {
  const child = spawn('sh', ['-c', line], {
    cwd,
    // A group of its own: what the shell starts ends with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`,
      // The addon that is there will do.
      KEEPWIRE_BUILD: 'quick',
      npm_config_offline: 'true',
      npm_config_update_notifier: 'false',
      ...env,
    },
  })
  const end = () => {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  const deadline = setTimeout(end, DEADLINE_MS)
  let text = ''
  let look = () => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece
      look()
    })
  }
  const ended = new Promise((resolve) => {
    child.once('close', (code) => {
      clearTimeout(deadline)
      resolve({ code, text })
      look()
    })
  })
  scope.defer(async () => {
    end()
    await ended
  })
  const said = (pattern) =>
    new Promise((resolve, reject) => {
      look = () => {
        const found = pattern.exec(text)
        if (found !== null) resolve(found)
        else if (child.exitCode !== null || child.signalCode !== null) reject(new Error(`${line}:\n${text}`))
      }
      look()
    })
  return { ended, said }
}

/** A server that keeps idle connections for a moment. @returns {Promise<{ url: string, asked: string[] }>} */
async function serve(scope, { secure = false } = {}) {
  const asked = []
  const answer = (request, response) => {
    asked.push(request.url)
    response.end('ok')
  }
  // `keepwire check` takes a second off what it is told.
  const options = { keepAliveTimeout: 3000 }
  const server = secure ? https.createServer({ ...options, key, cert }, answer) : http.createServer(options, answer)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  )
  return { asked, url: `${secure ? 'https' : 'http'}://127.0.0.1:${server.address().port}/` }
}

/** A program that knows nothing of keepwire. @param {{ carriedBy: string, created: number }} expected */
const carries = (expected) => async (scope, line) => {
  const { asked, url } = await serve(scope)
  const { code, text } = await shell(scope, line, { cwd: project(scope), env: { SERVER: url } }).ended
  assert.strictEqual(code, 0, text)
  assert.deepStrictEqual(JSON.parse(text.trim().split('\n').pop()), expected)
  assert.strictEqual(asked.length, 2)
}

const REQUEST_ALONE = { carriedBy: 'keepwire', created: 1 }
const FETCH_TOO = { carriedBy: 'keepwire', created: 2 }

const TESTS = {
  'node --require keepwire/register program.js': carries(REQUEST_ALONE),
  'bun --preload keepwire/register program.js': carries(REQUEST_ALONE),
  'deno run -A --require ./node_modules/keepwire/lib/register.js program.js': carries(REQUEST_ALONE),
  'KEEPWIRE_FETCH=1 node --require keepwire/register program.js': carries(FETCH_TOO),

  async 'KEEPWIRE_DASHBOARD=9230 node --require keepwire/register app.js'(scope, line) {
    const { said } = shell(scope, line, { cwd: project(scope) })
    // Of several processes each takes the next free port.
    const [url] = await said(/http:\/\/127\.0\.0\.1:\d+\//)
    const page = await new Promise((resolve, reject) => http.get(url, { agent: false }, resolve).once('error', reject))
    page.resume()
    assert.deepStrictEqual([page.statusCode, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
  },

  async 'npm run demo -- http://example.com/'(scope, line) {
    const { asked, url } = await serve(scope)
    const { code, text } = await shell(scope, line.replace('http://example.com/', url), { cwd: root }).ended
    assert.strictEqual(code, 0, text)
    assert.strictEqual(asked.length, 45)
    assert.match(text, /^ {2}keepwire +█+ \d+\.\d\d s$/m)
  },

  async 'npx keepwire check https://example.com/ --idle'(scope, line) {
    const cwd = project(scope)
    const { asked, url } = await serve(scope, { secure: true })
    const authority = path.join(cwd, 'ca.pem')
    fs.writeFileSync(authority, ca)
    const env = { NODE_EXTRA_CA_CERTS: authority }
    const { code, text } = await shell(scope, line.replace('https://example.com/', url), { cwd, env }).ended
    assert.strictEqual(code, 0, text)
    assert.match(text, /REUSED {2}19 of 19/)
    assert.strictEqual(asked.length, 21)
  },

  async 'npx keepwire top 9230 --sort failed'(scope, line) {
    const { url } = await serve(scope)
    const agent = scope.agent({ keepAlive: true })
    await new Promise((resolve, reject) => {
      http.get(url, { agent }, (response) => response.resume().once('end', resolve)).once('error', reject)
    })
    const board = await require('../../lib/dashboard').dashboard({ port: 0 })
    scope.defer(() => board.close())
    const { said } = shell(scope, line.replace('9230', String(board.port)), { cwd: project(scope) })
    await said(new RegExp(new URL(url).host))
  },

  async 'npx keepwire bench http://localhost:3000/ -c 50 -d 10 --vs node,undici'(scope, line) {
    const { url } = await serve(scope)
    // Half a second a side will do.
    const shorter = line.replace('http://localhost:3000/', url).replace('-d 10', '-d 0.5')
    const { code, text } = await shell(scope, shorter, { cwd: project(scope) }).ended
    assert.strictEqual(code, 0, text)
    for (const side of ['keepwire', 'node', 'undici']) assert.match(text, new RegExp(`^ *${side} .*\\d`, 'm'))
  },
}

/** @param {string} line */
function skipped(line) {
  if (baseline) return 'it uses keepwire'
  if (process.platform === 'win32') return 'needs a POSIX shell'
  const runtime = /\b(node|bun|deno) /.exec(line)?.[1] ?? 'node'
  if (runtime !== runtimeName) return `it is for ${runtime}`
  // Other Nodes of the matrix have no npm of theirs.
  return /^np[mx] /.test(line) && process.env.KEEPWIRE_TEST_QUICK === '1' && 'npm is of another Node'
}

for (const [line, body] of Object.entries(TESTS)) {
  test(`it does what the page says: ${line}`, { skip: skipped(line), timeout: 120_000 }, (scope) => body(scope, line))
}
