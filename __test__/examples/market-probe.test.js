'use strict'

// examples/market-probe, over shops of its own: each asked no more than it bears, and reported.

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { reply } = require('../support/peer')
const { scriptedProxy } = require('../support/proxy')
const { baseline, isDeno } = require('../support/runtime')
const { test } = require('../support/suite')

const root = path.join(__dirname, '..', '..')
const README_LINES = 12
const OPTIONS = {
  skip: (baseline && 'it uses keepwire') || (process.platform !== 'linux' && 'its shops need addresses of their own'),
  timeout: 60_000,
}

/** The example as a user has it: its package beside it, installed. */
function installed(scope) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-example-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  fs.cpSync(path.join(root, 'examples', 'market-probe'), folder, { recursive: true })
  fs.mkdirSync(path.join(folder, 'node_modules'))
  fs.symlinkSync(root, path.join(folder, 'node_modules', 'keepwire'), 'dir')
  return folder
}

/**
 * @param {string} folder
 * @param {string[]} args
 * @returns {Promise<string>} what it has printed
 */
function probe(folder, args) {
  const run = isDeno ? ['run', '--allow-all', '--no-lock'] : []
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [...run, 'probe.js', ...args], { cwd: folder, timeout: 50_000 }, (error, out, told) => {
      if (error) reject(new Error(`${error.message}\n${told}`))
      else resolve(out)
    })
  })
}

test('market-probe asks each shop no more than it bears, and shows what that took', OPTIONS, async (scope) => {
  const printed = await probe(installed(scope), ['--articles', '12', '--rps', '50', '--concurrency', '2'])
  const rows = printed.split('\n')
  const shops = rows.filter((row) => row.startsWith('http://')).map((row) => row.split(/\s{2,}/))
  assert.deepStrictEqual(
    shops.map(([, prices]) => Number(prices)),
    [12, 12, 12, 11, 0],
    printed,
  )
  assert.strictEqual(shops[3].at(-1), '1 × 429')
  // Two are under way when the fifth fails.
  const [, resets, open] = /^([5-6]) × ECONNRESET, ([6-7]) × ERR_KEEPWIRE_CIRCUIT_OPEN$/.exec(shops[4].at(-1)) ?? []
  assert.strictEqual(Number(resets) + Number(open), 12, printed)
  // Two connections for each, and the rest reused.
  for (const shop of shops.slice(0, 3)) assert.ok(Number(shop[4]) >= 10, printed)
  assert.match(printed, /47 of 60 prices in \d/)
  assert.match(printed, /█+░* \d+/)
})

test('it asks through a proxy if it is told to', OPTIONS, async (scope) => {
  const proxy = await scriptedProxy(scope)
  const shop = await scope.peer((_, connection) => connection.end(reply('{"price":1}')))
  const url = `http://127.0.0.1:${shop.port}`
  const printed = await probe(installed(scope), [url, '--articles', '6', '--rps', '50', '--proxy', proxy.url])
  assert.match(printed, /6 of 6 prices in \d/)
  assert.strictEqual(proxy.heads.filter((head) => head.startsWith(`GET ${url}/articles/`)).length, 6)
})

test('its README is as short as it should be', OPTIONS, async () => {
  const lines = fs
    .readFileSync(path.join(root, 'examples', 'market-probe', 'README.md'), 'utf8')
    .trim()
    .split('\n')
  assert.ok(lines.length <= README_LINES, String(lines.length))
})
