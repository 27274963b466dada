'use strict'

// A request that can't be sent costs itself only: those beside it in its batch of commands are carried out.

const assert = require('node:assert')
const { once } = require('node:events')
const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { runScript } = require('../support/child')
const { ca, cert, key } = require('../support/fetch-tls')
const { reply } = require('../support/peer')
const { isBun } = require('../support/runtime')
const { test } = require('../support/suite')

test('requests that can not be sent, among others in one tick, end each by themselves, and the process ends', {
  timeout: 60_000,
}, async (scope) => {
  const server = https.createServer({ cert, key, maxHeaderSize: 1024 * 1024 }, (_, response) => response.end('ok'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  fs.writeFileSync(path.join(folder, 'ca.pem'), ca)
  const peer = await scope.peer((request, connection) => {
    const to = /^\/to\/(.*)/.exec(request.target)?.[1]
    connection.write(to === undefined ? reply('ok') : reply('', [`Location: https://${to}/`], 'HTTP/1.1 302 Found'))
  })
  const args = [`https://127.0.0.1:${server.address().port}`, `http://127.0.0.1:${peer.port}`]
  const { late, lines, stderr } = await runScript('fetch-bad-batch', args, {
    env: { NODE_EXTRA_CA_CERTS: path.join(folder, 'ca.pem') },
    deadlineMs: 40_000,
  })
  assert.ok(!late, `the process did not end by itself: ${stderr}`)
  const outcomes = Object.fromEntries(lines.map(({ outcome: [name, ...rest] }) => [name, rest]))
  assert.strictEqual(lines.length, 28, stderr)
  const innocent = lines.filter(({ outcome: [name] }) => ['secure', 'plain', 'request'].includes(name))
  assert.deepStrictEqual(new Set(innocent.map(({ outcome: [, status] }) => status)), new Set([200]))
  // Some runtimes take such a host for no URL, others ask for its address.
  // Bun's own fetch sends control characters, so that the server has its say.
  if (isBun) assert.deepStrictEqual([outcomes.control[0], outcomes.delete[0]], [400, 200])
  const refused = ['host', 'redirect', ...(isBun ? [] : ['control', 'delete'])]
  for (const name of refused) assert.strictEqual(outcomes[name][0], 'TypeError', name)
  // Of many fields, servers have their own mind.
  for (const name of ['size', 'url']) assert.strictEqual(outcomes[name][0], 200, `${name}: ${outcomes[name]}`)
})
