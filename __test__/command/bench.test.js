'use strict'

// `npx keepwire bench`: what it measures, whom it refuses, how it ends.

const assert = require('node:assert')

const { keepwire } = require('../support/command')
const { DEAD_PORT, reply } = require('../support/peer')
const { test, testBoth } = require('../support/suite')

// Each test starts processes.
const OURS = { ours: 'has no command', timeout: 120_000 }

const OK = (_, connection) => connection.write(reply('ok'))

testBoth('each side answers over its connections, and nothing is asked but the URL', OURS, async (scope) => {
  const asked = new Set()
  const peer = await scope.peer(({ method, target }, connection) => {
    asked.add(`${method} ${target}`)
    connection.write(reply('ok'))
  })
  const url = `${scope.scheme}://127.0.0.1:${peer.port}/path?query=secret`
  const trust = scope.identity ? ['--agent-options', JSON.stringify({ ca: scope.identity.ca })] : []
  const args = ['bench', url, '-c', '3', '-d', '0.2', '--vs', 'node,fast', ...trust]
  const { code, stderr, stdout } = await keepwire(...args, '--json')
  assert.deepStrictEqual([code, stderr], [0, ''], stdout)
  const told = JSON.parse(stdout)
  assert.strictEqual(told.url, `${scope.scheme}://127.0.0.1:${peer.port}/path`)
  assert.deepStrictEqual(
    told.rows.map(({ connections, errors, side, unavailable }) => [side, unavailable, connections, errors]),
    [
      ['keepwire', null, 3, {}],
      ['node', null, 3, {}],
      ['fast', null, 3, {}],
    ],
  )
  for (const { cpuMicros, p50Ms, p99Ms, perSecond, requests, side } of told.rows) {
    assert.ok(requests > 3 && perSecond > 3 && cpuMicros > 0, side)
    assert.ok(p50Ms > 0 && p50Ms <= p99Ms && p99Ms < 60_000, side)
  }
  assert.deepStrictEqual([...asked], ['GET /path?query=secret'])
  // The warm-ups' are not among the measured.
  assert.ok(told.rows.reduce((sum, { requests }) => sum + requests, 0) < peer.requests.length)
})

test('in words; a package that is not installed has its own line', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const args = ['bench', `http://127.0.0.1:${peer.port}/`, '-c', '2', '-d', '0.2', '--vs', 'agentkeepalive']
  const { code, stderr, stdout } = await keepwire(...args, { cwd: require('node:os').tmpdir() })
  assert.deepStrictEqual([code, stderr], [0, ''])
  assert.match(stdout, /^ {2}keepwire +[\d,]+ +1\.00 /m)
  assert.match(stdout, /^ {2}agentkeepalive +not installed here: npm install agentkeepalive$/m)
})

test('a server elsewhere is not asked anything, unless it is its owner who says so', OURS, async (scope) => {
  // An address of documentation (RFC 5737), which nobody has.
  const { code, stderr, stdout } = await keepwire('bench', 'http://192.0.2.1/', '-d', '0.2')
  assert.deepStrictEqual([code, stdout], [64, ''])
  assert.match(stderr, /192\.0\.2\.1 is not this machine.*--i-own-this/)
  const peer = await scope.peer(OK)
  const own = await keepwire(
    'bench',
    `http://127.0.0.1:${peer.port}/`,
    '-c',
    '1',
    '-d',
    '0.2',
    '--vs',
    '',
    '--i-own-this',
  )
  assert.strictEqual(own.code, 0)
})

test('nobody there: 2; some failed: 1, with what; wrong arguments: 64', OURS, async (scope) => {
  const dead = await keepwire('bench', `http://127.0.0.1:${DEAD_PORT}/`, '-c', '2', '-d', '0.2', '--vs', '')
  assert.strictEqual(dead.code, 2)
  assert.match(dead.stdout, /failed: \d+ × ECONNREFUSED/)
  const peer = await scope.peer((_, connection) => {
    if (peer.requests.length % 3 === 0) connection.end('nonsense\r\n\r\n')
    else connection.write(reply('ok'))
  })
  const some = await keepwire('bench', `http://127.0.0.1:${peer.port}/`, '-c', '2', '-d', '0.2', '--vs', '', '--json')
  assert.strictEqual(some.code, 1)
  assert.ok(
    Object.keys(JSON.parse(some.stdout).rows[0].errors).some((code) => code.startsWith('HPE_')),
    some.stdout,
  )
  for (const args of [[], ['nonsense'], ['http://localhost/', '--vs', 'curl'], ['http://localhost/', '-c', '0']]) {
    assert.strictEqual((await keepwire('bench', ...args)).code, 64, args.join(' '))
  }
})
