'use strict'

// Proxies that the environment of a process names: what our fetch, and requests without an agent, ask of them is what the runtime's own
// do. Names are answered by a server of the test's own (Linux, and only for who may make a mount namespace).

const assert = require('node:assert')
const http = require('node:http')

const { runScript } = require('../support/child')
const { nameServer } = require('../support/name-server')
const { scriptedProxy } = require('../support/proxy')
const { baseline, isDeno, isNode, major } = require('../support/runtime')
const { listen, secureServer } = require('../support/secure')
const { authority } = require('../support/http2')
const { socksProxy } = require('../support/socks')
const { test } = require('../support/suite')

const knowsEnvironments = typeof http.setGlobalProxyFromEnv === 'function'
const skip = baseline || (isNode && major < 20 && 'its fetch knows no environments')

/** P and Q are proxies, PORT is the target's. */
const ENVIRONMENTS = {
  'both names': { HTTP_PROXY: 'P', HTTPS_PROXY: 'P' },
  'lower case': { http_proxy: 'P', https_proxy: 'P' },
  'lower case first': { HTTP_PROXY: 'Q', HTTPS_PROXY: 'Q', http_proxy: 'P', https_proxy: 'P' },
  'http alone': { HTTP_PROXY: 'P' },
  'https alone': { HTTPS_PROXY: 'P' },
  'another name': { ALL_PROXY: 'P' },
  'another name in lower case': { all_proxy: 'P' },
  'both of the other names': { ALL_PROXY: 'P', all_proxy: 'Q' },
  'another name beside those': { ALL_PROXY: 'Q', HTTP_PROXY: 'P', HTTPS_PROXY: 'P' },
  'another name beside one': { ALL_PROXY: 'Q', http_proxy: 'P' },
  'no scheme': { HTTP_PROXY: '127.0.0.1:PROXYPORT', HTTPS_PROXY: '127.0.0.1:PROXYPORT' },
  'a path': { HTTP_PROXY: 'http://127.0.0.1:PROXYPORT/path', HTTPS_PROXY: 'http://127.0.0.1:PROXYPORT/' },
  'another scheme': { HTTP_PROXY: 'ftp://127.0.0.1:PROXYPORT', HTTPS_PROXY: 'ftp://127.0.0.1:PROXYPORT' },
  'exceptions in both cases': { HTTP_PROXY: 'P', HTTPS_PROXY: 'P', no_proxy: 'example.test', NO_PROXY: '127.0.0.1' },
  'exceptions in lower case': { HTTP_PROXY: 'P', HTTPS_PROXY: 'P', no_proxy: 'example.test' },
  'a login': { HTTP_PROXY: 'http://us%20er:p%40ss@P', HTTPS_PROXY: 'http://us%20er:p%40ss@P' },
  'no exceptions': { HTTP_PROXY: 'P', HTTPS_PROXY: 'P', NO_PROXY: '' },
}
const EXCEPTIONS = ['*', 'example.test', '.example.test', '*.example.test', 'EXAMPLE.test', 'a.test, example.test']
EXCEPTIONS.push(
  '127.0.0.0/8',
  '127.0.0.0-127.0.0.9',
  '*.test',
  'test',
  '.',
  'example.test:1',
  'a.test example.test',
  'example.test.',
  '*example.test',
)
EXCEPTIONS.push('.example.test:PORT', '127.0.0.2, 10.0.0.0/8', '*:PORT', 'x,*', '127.*', '[::1]', 'localhost.', ',,')
EXCEPTIONS.push('example.test:PORT', 'ample.test', '127.0.0.1', '127.0.0.1:PORT', 'localhost')
for (const entry of EXCEPTIONS)
  ENVIRONMENTS[`${entry} excepted`] = { HTTP_PROXY: 'P', HTTPS_PROXY: 'P', NO_PROXY: entry }

const NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY']
// Of whoever runs the tests, none.
for (const name of NAMES) for (const either of [name, name.toLowerCase()]) delete process.env[either]

/** What a process of that environment asks of its proxies, by one way. */
async function asked(scope, env, way, under, flags = {}) {
  const { server } = await authority
  const answer = (request, response) => response.end(request.url)
  const plain = await listen(scope, http.createServer(answer))
  const secure = await secureServer(scope, server, {}, answer)
  const refusing = {
    onHead: (head, socket) => {
      if (!head.startsWith('CONNECT')) return false
      socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')
      return true
    },
  }
  const [one, other] = [await scriptedProxy(scope, refusing), await scriptedProxy(scope, refusing)]
  const given = {}
  for (const [name, value] of Object.entries(env)) {
    given[name] = value
      .replace(/^P$/, one.url)
      .replace(/^Q$/, other.url)
      .replace('PROXYPORT', String(one.port))
      .replace(/@P$/, `@127.0.0.1:${one.port}`)
      .replace(/\bPORT/, String(plain.port))
  }
  const urls = ['example.test', 'sub.example.test', 'example.test.', 'badexample.test', '127.0.0.1', 'localhost'].map(
    (host) => `http://${host}:${plain.port}/`,
  )
  urls.push(...['example.test', '127.0.0.1'].map((host) => `https://${host}:${secure.port}/`))
  const { code, late, stderr } = await runScript('proxy-environment', [way, ...urls], {
    // Deno looks for news of itself.
    env: { DENO_NO_UPDATE_CHECK: '1', ...given, ...flags },
    under,
  })
  assert.ok(!late, stderr)
  const tell = (head) =>
    [head.split(' HTTP/', 1)[0], /\r\nproxy-authorization: (.*)\r\n/i.exec(head)?.[1]]
      .join(' ')
      .replaceAll(String(plain.port), 'PORT')
      .replaceAll(String(secure.port), 'SECURE')
  // Node ends a process whose environment its fetch can make nothing of.
  return { code, one: one.heads.map(tell), other: other.heads.map(tell) }
}

/** A mount namespace with names of its own, or nothing. */
async function names(scope) {
  const served = await nameServer(scope, () => '127.0.0.1')
  // Said aloud, since a skipped test would look the same on a machine where it must run.
  if (served === null) console.log('# no name server of our own here: nothing was tested')
  return served
}

const told = isNode ? { NODE_USE_ENV_PROXY: '1' } : {}

/** That several ways ask the same of the proxies. */
async function same(scope, env, ways, flags = told) {
  const served = await names(scope)
  if (served === null) return
  const [theirs, ...ours] = await Promise.all(ways.map((way) => asked(scope, env, way, served.under, flags)))
  for (const [at, one] of ours.entries()) assert.deepStrictEqual(one, theirs, ways[at + 1])
}

for (const [what, env] of Object.entries(ENVIRONMENTS)) {
  test(`fetch in an environment with ${what} asks what the runtime’s own does`, { skip }, (scope) =>
    same(scope, env, ['theirs', 'ours']),
  )
}

test('so does a fetch that was installed', { skip }, (scope) =>
  same(scope, { HTTP_PROXY: 'P', HTTPS_PROXY: 'P', NO_PROXY: 'localhost' }, ['theirs', 'installed']),
)

const onlyTheirs = !knowsEnvironments && 'the runtime’s requests know no environments'

for (const what of ['both names', 'lower case first', 'a login', 'example.test excepted', '127.0.0.1:PORT excepted']) {
  test(
    `requests without an agent in an environment with ${what} ask what the runtime’s own do`,
    {
      skip: onlyTheirs,
    },
    (scope) => same(scope, ENVIRONMENTS[what], ['their request', 'our request', 'installed request']),
  )

  test(`http.setGlobalProxyFromEnv() with ${what} is followed, and so is its end`, {
    skip: onlyTheirs,
  }, async (scope) => {
    const set = { SET_GLOBALLY: '1' }
    await same(scope, ENVIRONMENTS[what], ['theirs', 'ours', 'installed'], set)
    await same(scope, ENVIRONMENTS[what], ['their request', 'our request', 'installed request'], set)
  })
}

test('nobody’s fetch looks at the environment of a Node that is not told to', { skip: skip || !isNode }, (scope) =>
  same(scope, ENVIRONMENTS['both names'], ['theirs', 'ours'], { NODE_USE_ENV_PROXY: '' }),
)

test('Deno’s fetch knows SOCKS proxies', { skip: skip || !isDeno }, async (scope) => {
  const served = await names(scope)
  if (served === null) return
  for (const scheme of ['socks5', 'socks5h']) {
    const outcomes = []
    for (const way of ['theirs', 'ours']) {
      const proxy = await socksProxy(scope)
      const target = await listen(
        scope,
        http.createServer((_request, response) => response.end('ok')),
      )
      const url = `${scheme}://127.0.0.1:${proxy.port}`
      const { code, stderr } = await runScript('proxy-environment', [way, `http://example.test:${target.port}/`], {
        env: { HTTP_PROXY: url },
        under: served.under,
      })
      assert.strictEqual(code, 0, stderr)
      outcomes.push(proxy.asked.map(([version, host]) => [version, host]))
    }
    assert.deepStrictEqual(outcomes[1], outcomes[0], scheme)
    assert.strictEqual(outcomes[0].length, 1)
  }
})
