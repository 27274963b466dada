'use strict'

// `npx keepwire top`: what a process with a dashboard does, in the terminal.

const assert = require('node:assert')

const { send } = require('../support/client')
const { keepwire } = require('../support/command')
const { opened } = require('../support/dashboard')
const { DEAD_PORT, reply } = require('../support/peer')
const { test } = require('../support/suite')

// Each test starts a process or more.
const OURS = { ours: 'has no command', timeout: 120_000 }
const OK = (_, connection) => connection.write(reply('ok'))
const TOKEN = 'a token that is long enough'

/** Two origins: one with three connections, one with one and a failure. */
async function traffic(scope) {
  const [one, other] = [await scope.peer(OK), await scope.peer(OK)]
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  await Promise.all([1, 2, 3].map(() => send({ port: one.port, agent })))
  await send({ port: other.port, agent })
  return [one, other].map(({ port }) => `http://127.0.0.1:${port}`)
}

test('top: origins in the order that was asked for, in words and as JSON', OURS, async (scope) => {
  const [one, other] = await traffic(scope)
  const { port, url } = await opened(scope)
  const told = await keepwire('top', port, '--once', '--json', '--sort', 'idle')
  assert.deepStrictEqual([told.code, told.stderr], [0, ''])
  const { origins, pid } = JSON.parse(told.stdout)
  assert.strictEqual(pid, process.pid)
  const ours = origins.filter(({ origin }) => origin === one || origin === other)
  assert.deepStrictEqual(
    ours.map(({ answered, idle, origin, perSecond }) => [origin, answered, idle, perSecond]),
    [
      [one, 3, 3, 0],
      [other, 1, 1, 0],
    ],
  )
  const { code, stderr, stdout } = await keepwire('top', url, '--once', '--origin', one)
  assert.deepStrictEqual([code, stderr], [0, ''])
  const [, busy, idle] = stdout
    .split('\n')
    .find((line) => line.startsWith(one))
    .slice(one.length)
    .trim()
    .split(/\s+/)
  assert.deepStrictEqual([busy, idle], ['0', '3'])
  assert.strictEqual(stdout.split('\n').filter((line) => /^#\d+ +idle/.test(line)).length, 3, 'its connections')
  assert.ok(!stdout.includes(other))
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there.
  assert.doesNotMatch(stdout, /\u001b/)
})

test('top: what answers is not for the terminal to obey', OURS, async (scope) => {
  const mean = '\u001b]0;x\u0007\u009b31m'
  const told = {
    pid: 1,
    runtime: mean,
    at: 1,
    origins: {},
    connections: [{ ageMs: 1, id: mean, state: mean, uses: mean }],
  }
  Object.assign(told.connections[0], { remoteAddress: mean, remotePort: mean, tls: { protocol: mean } })
  const peer = await scope.peer((_, connection) => connection.write(reply(JSON.stringify(told))))
  const { code, stdout } = await keepwire('top', peer.port, '--once', '--origin', 'any')
  assert.strictEqual(code, 0)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there.
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  assert.match(stdout, /\?\]0;x/)
})

test('top: nobody there, a token that is missing and wrong arguments have exit codes', OURS, async (scope) => {
  const { port } = await opened(scope, { token: TOKEN })
  const codes = async (...args) => (await keepwire('top', ...args)).code
  const dead = await keepwire('top', DEAD_PORT, '--once')
  assert.strictEqual(dead.code, 2)
  assert.match(dead.stderr, /ECONNREFUSED/)
  const refused = await keepwire('top', port, '--once')
  assert.strictEqual(refused.code, 2)
  assert.match(refused.stderr, /401: A token is needed/)
  assert.strictEqual(await codes(port, '--once', '--token', TOKEN), 0)
  assert.strictEqual(await codes(port, '--once', '--sort', 'nothing'), 64)
  assert.strictEqual(await codes('https://127.0.0.1/'), 64)
})
