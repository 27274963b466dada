'use strict'

// A global dispatcher of undici's that the program has replaced, by a mock or a proxy, gets the fetches that it would get from the
// runtime's own fetch: they are told of, and counted. undici itself, imported, is no reason.

const assert = require('node:assert')
const http = require('node:http')

const { runScript } = require('../support/child')
const { isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const skip = (!isNode || major < 20) && 'there is no such dispatcher, or undici does not run there'
const noProxy = skip || (typeof http.setGlobalProxyFromEnv !== 'function' && 'there is no http.setGlobalProxyFromEnv()')

async function told(way, env = {}) {
  const { code, stderr, lines } = await runScript('dispatcher', [way], { env })
  assert.strictEqual(code, 0, stderr)
  return lines[0]
}

for (const way of ['loaded', 'usual']) {
  test(`undici that is ${way === 'usual' ? 'told to use an agent without options' : 'imported'} changes nothing`, {
    skip,
  }, async () => {
    const { answer, counted, warnings } = await told(way)
    assert.deepStrictEqual([answer, counted, warnings], ['real', 0, []])
  })
}

test('a MockAgent answers, within the limits of the fetch', { skip }, async () => {
  const { before, answer, secure, limited, whole, agent, chosen, counted, warnings } = await told('mock')
  assert.deepStrictEqual([before, answer, secure], ['real', 'mocked '.repeat(20), 'mocked https'])
  assert.strictEqual(limited, 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE')
  assert.deepStrictEqual(whole, ['http://mocked.test/a', 'mock', 140])
  // As a dispatcher that is named for one fetch.
  assert.deepStrictEqual([agent, chosen], ['real', 'real'])
  assert.strictEqual(counted, 4)
  assert.strictEqual(warnings.length, 1)
  assert.match(warnings[0], /KEEPWIRE_WARN_FALLBACK .*MockAgent/)
})

test('a ProxyAgent is asked', { skip }, async () => {
  const { before, answer, agent, proxied, counted } = await told('proxy')
  assert.deepStrictEqual([before, answer, agent, proxied, counted], ['real', 'proxied', 'real', 1, 1])
})

for (const way of ['options', 'composed']) {
  test(`an agent of undici's with ${way === 'options' ? 'options' : 'interceptors'} is asked`, { skip }, async () => {
    const { answer, counted, warnings } = await told(way)
    assert.deepStrictEqual([answer, counted, warnings.length], ['real', 1, 1])
  })
}

test('http.setGlobalProxyFromEnv() holds until it is taken back', { skip: noProxy }, async () => {
  const { before, answer, agent, proxied, restored, proxiedThen } = await told('env')
  assert.deepStrictEqual([before, answer, agent, restored], ['real', 'proxied', 'real', 'real'])
  assert.deepStrictEqual([proxied, proxiedThen], [1, 1])
})

test('so does NODE_USE_ENV_PROXY', { skip: noProxy }, async (scope) => {
  const seen = []
  const proxy = http.createServer((request, response) => {
    seen.push(request.method)
    response.end('proxied')
  })
  proxy.on('connect', (request, socket) => {
    seen.push(request.method)
    socket.on('error', () => {})
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied'))
  })
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => proxy.close(resolve)))
  const url = `http://127.0.0.1:${proxy.address().port}`
  const { before, answer, agent } = await told('flag', { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: url, http_proxy: url })
  assert.deepStrictEqual([before, answer, agent], ['proxied', 'proxied', 'real'])
  assert.strictEqual(seen.length, 2)
})
