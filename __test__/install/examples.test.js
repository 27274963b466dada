'use strict'

// The examples of README and of the pages of docs/ run as they stand there, each in a process of its own. Those of
// docs/migration.md have a test of their own.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')

const { runScript } = require('../support/child')
const { ca, cert, key } = require('../support/fetch-tls')
const { Peer, reply } = require('../support/peer')
const { baseline, runtimeName } = require('../support/runtime')
const { test } = require('../support/suite')

const root = path.join(__dirname, '..', '..')
const pages = ['README.md', ...fs.readdirSync(path.join(root, 'docs')).map((file) => `docs/${file}`)].filter(
  (page) => page.endsWith('.md') && page !== 'docs/migration.md',
)

/** What asks a server for something. */
const ASKS = /\b(get|request|fetch|api|axios|got)\(/

const examples = pages.flatMap((page) => {
  const text = fs.readFileSync(path.join(root, page), 'utf8')
  return Array.from(text.matchAll(/^```js\n(.*?)^```$/gms), ([, code], number) => ({ page, number, code }))
})

for (const { page, number, code } of examples) {
  const skip = baseline && 'it uses keepwire'
  test(`${page}, example ${number + 1} runs as it stands there`, { skip, timeout: 60_000 }, async (scope) => {
    const asked = []
    const handler = ({ target }, connection) => {
      asked.push(target)
      connection.write(reply('{}', ['Content-Type: application/json']))
    }
    const plain = await scope.peer(handler)
    const secure = new Peer(handler, { ca, pem: cert, key })
    scope.defer(() => secure.close())
    await secure.listen()
    const authority = path.join(fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'keepwire-examples-')), 'ca.pem')
    fs.writeFileSync(authority, ca)
    scope.defer(() => fs.rmSync(path.dirname(authority), { recursive: true }))
    const addresses = [`http://127.0.0.1:${plain.port}/`, `https://127.0.0.1:${secure.port}/`]
    const env = { NODE_EXTRA_CA_CERTS: authority, DENO_CERT: authority }
    const { code: status, lines, late, stderr } = await runScript('example', [page, number, ...addresses], { env })
    assert.deepStrictEqual({ status, late, lines }, { status: 0, late: false, lines: [{ ran: true }] }, stderr)
    // One request is the script's own.
    if (ASKS.test(code)) assert.ok(asked.length > 1, `${runtimeName} asked for ${asked.length}`)
  })
}

test('the pages have examples', () => {
  assert.ok(examples.length >= 12, String(examples.length))
})
