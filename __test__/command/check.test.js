'use strict'

// `npx keepwire check`: the right verdict, exit code and advice for servers of each kind.

const assert = require('node:assert')

const { keepwire } = require('../support/command')
const { hasNginx, startNginx } = require('../support/nginx')
const { DEAD_PORT, reply } = require('../support/peer')
const { baseline } = require('../support/runtime')
const { test, testBoth } = require('../support/suite')

const { check, pace } = baseline ? {} : require('../../lib/command/check')
const { watchIdle } = baseline ? {} : require('../../lib/command/idle')
const { colours, report } = baseline ? {} : require('../../lib/command/report')

// Each test starts a process or more.
const OURS = { ours: 'has no command', timeout: 120_000 }
const FEW = ['-n', '5']
const QUICK = { agentOptions: {}, idleLimitMs: 0, tell() {} }

/** The same, with what `--json` says. */
async function checked(...args) {
  const { code, stderr, stdout } = await keepwire('check', ...args, '--json')
  assert.strictEqual(stderr, '')
  const told = JSON.parse(stdout)
  assert.strictEqual(told.exitCode, code)
  return { code, ...told }
}

const OK = (_, connection) => connection.write(reply('ok'))
const saying = (field) => (_, connection) => connection.write(reply('ok', [field]))

testBoth('a server that keeps connections: 0, in words and as JSON', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const url = `${scope.scheme}://user:secret@127.0.0.1:${peer.port}/path?token=secret`
  const trust = scope.identity ? ['--agent-options', JSON.stringify({ ca: scope.identity.ca })] : []
  const told = await checked(url, ...FEW, ...trust)
  assert.deepStrictEqual([told.code, told.verdict, told.connections, told.reused], [0, 'reused', 1, 4])
  assert.deepStrictEqual([told.url, told.addresses], [`${scope.scheme}://127.0.0.1:${peer.port}/path`, ['127.0.0.1']])
  assert.strictEqual(told.answers[0].tls === null, scope.scheme === 'http')
  assert.strictEqual(peer.requests.length, 5)
  const { code, stderr, stdout } = await keepwire('check', url, ...FEW, ...trust)
  assert.deepStrictEqual([code, stderr], [0, ''])
  assert.match(stdout, /connections +1 for 5 requests/)
  assert.match(stdout, /REUSED {2}4 of 4/)
  // Colours are for terminals, credentials for nobody.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there.
  assert.doesNotMatch(stdout, /\u001b|secret/)
})

test('nginx: 0, and nothing but what it says', {
  ...OURS,
  skip: !hasNginx && 'nginx is not installed',
}, async (scope) => {
  const port = await startNginx(
    scope,
    {},
    (port) => `listen 127.0.0.1:${port}; keepalive_timeout 60s 50s; return 200 "ok";`,
  )
  const told = await checked(`http://127.0.0.1:${port}/`, ...FEW)
  assert.deepStrictEqual([told.code, told.connections, told.hint], [0, 1, { timeoutMs: 50_000, max: null }])
  assert.ok(told.advice.some((line) => line.includes('timeout: 49000')))
})

test('a server that closes after 2 s without a word: 0, and --idle finds the time to set', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => {
    clearTimeout(connection.closing)
    connection.closing = setTimeout(() => connection.end(), 2000)
    connection.write(reply('ok'))
  })
  scope.defer(() => peer.connections.forEach(({ closing }) => clearTimeout(closing)))
  const { advice, code, hint, idle } = await checked(`http://127.0.0.1:${peer.port}/`, ...FEW, '--idle')
  assert.deepStrictEqual([code, hint, idle.how], [0, null, 'closed'])
  // Either side may hear of things late: what counts is that what is to be set follows from what was seen.
  const [, freeSocketTimeout] = /freeSocketTimeout: (\d+)/.exec(advice.join('\n'))
  assert.strictEqual(Number(freeSocketTimeout), Math.floor((idle.afterMs * 0.8) / 100) * 100)
})

test('a response that comes byte by byte, for ever, is none to wait for', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const timer = setInterval(() => connection.write('1\r\nx\r\n'), 10)
    connection.socket.on('close', () => clearInterval(timer))
  })
  const url = new URL(`http://127.0.0.1:${peer.port}/`)
  const idle = await watchIdle(url, {}, 50, () => {})
  assert.strictEqual(idle.how, 'failed')
  const { mostMs } = pace
  pace.mostMs = 50
  scope.defer(() => (pace.mostMs = mostMs))
  const { failures } = await check(url, { ...QUICK, requests: 3 })
  assert.deepStrictEqual(failures, [{ code: 'TOO_SLOW', message: 'The response takes too long for a check' }])
})

test('what a server says on an idle connection is not for the terminal to obey', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const seen = await check(new URL(`http://127.0.0.1:${peer.port}/`), { ...QUICK, requests: 1 })
  const idle = { how: 'said', afterMs: 1, said: JSON.stringify('\u001b[31m\u009b31m') }
  assert.match(
    report({ ...seen, idle }, colours({ isTTY: false })),
    /says something after [^:]*: "\\u001b\[31m\?31m"\n/,
  )
})

test('--idle: how a server ends a connection, and one that does not', OURS, async (scope) => {
  const end = {
    said: (connection) => connection.end('HTTP/1.1 408 Request Timeout\r\n\r\n'),
    reset: (connection) => connection.reset(),
  }
  for (const how of ['said', 'reset']) {
    let seen
    // It is idle only once the client has its response: a slow one needs more time.
    for (const ms of [300, 3000, 20_000]) {
      const timers = []
      const peer = await scope.peer((_, connection) => {
        connection.write(reply('ok'))
        if (connection.requests.length === 1) timers.push(setTimeout(() => end[how](connection), ms))
      })
      const { idle } = await checked(`http://127.0.0.1:${peer.port}/`, '-n', '2', '--idle', '--idle-limit', '60')
      for (const timer of timers) clearTimeout(timer)
      seen = idle
      if (idle?.how === how) break
    }
    assert.strictEqual(seen?.how, how)
    if (how === 'said') assert.match(seen.said, /^"HTTP\/1\.1 408/)
  }
  const silent = await scope.peer(OK)
  const { idle } = await checked(`http://127.0.0.1:${silent.port}/`, '-n', '2', '--idle', '--idle-limit', '1')
  assert.strictEqual(idle.how, 'open')
})

test('a server with a hint: 0, and what each agent makes of it', OURS, async (scope) => {
  const peer = await scope.peer(saying('Keep-Alive: timeout=5, max=100'))
  const url = `http://127.0.0.1:${peer.port}/`
  const told = await checked(url, ...FEW)
  assert.deepStrictEqual([told.code, told.hint], [0, { timeoutMs: 5000, max: 100 }])
  assert.ok(told.advice.some((line) => line.includes('timeout: 4000')))
  const { stdout } = await keepwire('check', url, ...FEW)
  assert.match(stdout, /keepwire +closes idle connections after 4 s/)
  assert.match(stdout, /Node 18 +does not know of it/)
})

test('a hint that leaves no time: 1, and the option that does', OURS, async (scope) => {
  const peer = await scope.peer(saying('Keep-Alive: timeout=1'))
  const url = `http://127.0.0.1:${peer.port}/`
  const told = await checked(url, ...FEW)
  assert.deepStrictEqual([told.code, told.connections], [1, 5])
  assert.match(told.advice.join('\n'), /agentKeepAliveTimeoutBuffer: 200/)
  assert.strictEqual((await checked(url, ...FEW, '--agent-options', '{"agentKeepAliveTimeoutBuffer":0}')).code, 0)
})

test('a server that answers close: 1, and whose business it is', OURS, async (scope) => {
  const peer = await scope.peer(saying('Connection: close'))
  const told = await checked(`http://127.0.0.1:${peer.port}/`, ...FEW)
  assert.deepStrictEqual([told.code, told.verdict, told.connections], [1, 'not-reused', 5])
  assert.match(told.because, /announces the end/)
})

test(
  'a server that closes after each response without saying so: 1, and what that does to other agents',
  OURS,
  async (scope) => {
    const peer = await scope.peer((_, connection) => connection.end(reply('ok')))
    const told = await checked(`http://127.0.0.1:${peer.port}/`, ...FEW)
    assert.deepStrictEqual([told.code, told.connections, told.failures], [1, 5, []])
    assert.match(told.because, /without saying so/)
  },
)

test('a server that fails in between: 1, and with what', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => {
    if (peer.requests.length === 2) connection.write('nonsense\r\n\r\n')
    else connection.write(reply('ok'))
  })
  const told = await checked(`http://127.0.0.1:${peer.port}/`, ...FEW)
  assert.deepStrictEqual([told.code, told.failures.length], [1, 1])
  assert.match(told.because, /1 of 5 requests failed/)
})

test('https with an unknown authority: 2, and how to trust it', { ...OURS, scheme: 'https' }, async (scope) => {
  const peer = await scope.peer(OK)
  const url = `https://127.0.0.1:${peer.port}/`
  const told = await checked(url, ...FEW)
  assert.deepStrictEqual([told.code, told.verdict], [2, 'unreachable'])
  assert.match(told.advice.join('\n'), /NODE_EXTRA_CA_CERTS/)
  assert.strictEqual((await checked(url, ...FEW, '--agent-options', '{"rejectUnauthorized":false}')).code, 0)
})

test('nobody there: 2, and why', OURS, async () => {
  const dead = await checked(`http://127.0.0.1:${DEAD_PORT}/`)
  assert.deepStrictEqual([dead.code, dead.failures.length, dead.failures[0].code], [2, 1, 'ECONNREFUSED'])
  const { code, stdout } = await keepwire('check', `http://127.0.0.1:${DEAD_PORT}/`)
  assert.strictEqual(code, 2)
  assert.match(stdout, /UNREACHABLE .*ECONNREFUSED/)
})

test('at most 25 requests', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const url = `http://127.0.0.1:${peer.port}/`
  assert.strictEqual((await checked(url, '-n', '25')).reused, 24)
  assert.strictEqual((await keepwire('check', url, '-n', '26')).code, 64)
  assert.strictEqual(peer.requests.length, 25)
})

test('--help has examples; what makes no sense is 64 and says why', OURS, async () => {
  const help = await keepwire('--help')
  assert.strictEqual(help.code, 0)
  assert.match(help.stdout, /Examples:\n {2}npx keepwire check https:/)
  const { version } = require('../../package.json')
  assert.deepStrictEqual(await keepwire('--version'), { code: 0, stdout: `${version}\n`, stderr: '' })
  for (const [args, complaint] of [
    [[], null],
    [['chekc'], /no command 'chekc'/],
    [['check'], /needs a URL/],
    [['check', 'localhost:3000'], /must begin with http/],
    [['check', 'http://'], /is no URL/],
    [['check', 'http://localhost', 'more'], /one argument too many/],
    [['check', 'http://localhost', '-n', 'many'], /whole number/],
    [['check', 'http://localhost', '--nonsense'], /nonsense/],
    [['check', 'http://localhost', '--agent-options', '[1]'], /JSON object/],
    [['check', 'http://localhost', '--agent-options', '{"connectTimeout":"long"}'], /agent-options: /],
    [['check', 'http://localhost', '--idle', '--idle-limit', '0'], /--idle-limit/],
  ]) {
    const { code, stderr } = await keepwire(...args)
    assert.strictEqual(code, 64, args.join(' '))
    if (complaint !== null) assert.match(stderr, complaint)
  }
})
