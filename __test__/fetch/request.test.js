'use strict'

// What a fetch sends, and to whom: options are read as a dictionary, credentials stay with the origin they are for, and what
// can't be sent fails alone.

const assert = require('node:assert')

const { fetch } = require('../..')
const { isNode } = require('../../lib/runtime')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')

const runtimeFetch = globalThis.fetch

async function server(scope, answer = () => reply('ok')) {
  const peer = await scope.peer((request, connection) => connection.write(answer(request)))
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  return { peer, origin: `http://127.0.0.1:${peer.port}` }
}

const SECRETS = { authorization: 'Bearer s', cookie: 'c=1', 'proxy-authorization': 'Basic p', 'x-api-key': 'k' }
const secretsOf = ({ headers }) => Object.keys(SECRETS).filter((name) => headers[name] !== undefined)

for (const [what, urlFrom] of [
  ['two slashes', (origin) => origin.replace('http:', '')],
  ['an absolute URL', (origin) => `${origin}/x`],
  ['backslashes', (origin) => origin.replace('http://', '\\\\')],
  ['a tab between the slashes', (origin) => origin.replace('http://', '/\t/')],
  ['the name of the base as user information', (origin, home) => origin.replace('//', `//${new URL(home).hostname}@`)],
  ['a URL object', (origin) => new URL(`${origin}/x`)],
  ['a Request', (origin) => new Request(`${origin}/x`)],
  ['another scheme', (_, home) => home.replace('http:', 'https:')],
  ['a blob of that origin', (_, home) => `blob:${home}/1`],
]) {
  test(`with a baseUrl, ${what} that leads elsewhere is refused`, async (scope) => {
    const home = await server(scope)
    const other = await server(scope)
    const api = fetch.withDefaults({ baseUrl: `${home.origin}/v1/`, headers: SECRETS, retry: false })
    await assert.rejects(api(urlFrom(other.origin, home.origin)), { code: 'ERR_KEEPWIRE_OTHER_ORIGIN' })
    assert.deepStrictEqual([home.peer.requests.length, other.peer.requests.length], [0, 0])
  })
}

test('with allowOtherOrigins, other origins get no default credentials, and what is harmless', async (scope) => {
  const home = await server(scope)
  const other = await server(scope)
  const defaults = { baseUrl: home.origin, headers: { ...SECRETS, accept: 'a/b' } }
  const api = fetch.withDefaults({ ...defaults, allowOtherOrigins: true })
  await (await api(`${other.origin}/x`, { headers: { 'x-own': '1' } })).text()
  await (await fetch.withDefaults(defaults)(`${other.origin}/y`, { allowOtherOrigins: true })).text()
  await (await api('/z')).text()
  assert.deepStrictEqual(other.peer.requests.map(secretsOf), [[], []])
  assert.deepStrictEqual([other.peer.requests[0].headers.accept, other.peer.requests[0].headers['x-own']], ['a/b', '1'])
  assert.deepStrictEqual(secretsOf(home.peer.requests[0]), Object.keys(SECRETS))
})

for (const withBase of [true, false]) {
  test(`no redirect takes default fields to another origin (${withBase ? 'with' : 'without'} a baseUrl)`, async (scope) => {
    const other = await server(scope)
    const home = await server(scope, ({ target }) =>
      target === '/end'
        ? reply('ok')
        : reply('', [`Location: ${target === '/a' ? '/b' : other.origin}/x`], 'HTTP/1.1 307 X'),
    )
    const api = fetch.withDefaults({ ...(withBase && { baseUrl: home.origin }), headers: SECRETS })
    await (await api(`${home.origin}/a`, { headers: { 'x-own': '1' } })).text()
    assert.deepStrictEqual(home.peer.requests.map(secretsOf), [Object.keys(SECRETS), Object.keys(SECRETS)])
    assert.deepStrictEqual(other.peer.requests.map(secretsOf), [[]])
    assert.strictEqual(other.peer.requests[0].headers['x-own'], '1')
  })
}

test('withDefaults within withDefaults: the fields of each are for the baseUrl of each', async (scope) => {
  const home = await server(scope)
  const other = await server(scope)
  const outer = fetch.withDefaults({ baseUrl: home.origin, headers: SECRETS })
  const inner = outer.withDefaults({ baseUrl: other.origin, headers: { 'x-inner': '1' } })
  await (await inner('/x')).text()
  assert.deepStrictEqual(secretsOf(other.peer.requests[0]), [])
  assert.strictEqual(other.peer.requests[0].headers['x-inner'], '1')
  await (await outer.withDefaults({ headers: { 'x-inner': '1' } })('/y')).text()
  assert.deepStrictEqual(secretsOf(home.peer.requests[0]), Object.keys(SECRETS))
  await assert.rejects(inner(`${home.origin}/z`), { code: 'ERR_KEEPWIRE_OTHER_ORIGIN' })
})

test('allowOtherOrigins is a boolean', async (scope) => {
  const { origin } = await server(scope)
  assert.throws(() => fetch.withDefaults({ allowOtherOrigins: 'false' }), { code: 'ERR_INVALID_ARG_TYPE' })
  const api = fetch.withDefaults({ baseUrl: origin })
  await assert.rejects(api('/', { allowOtherOrigins: 1 }), { code: 'ERR_INVALID_ARG_TYPE' })
})

class Options {
  #method = 'POST'
  get method() {
    return this.#method
  }
  get body() {
    return 'hi'
  }
  get headers() {
    return { 'x-a': '1' }
  }
}

for (const [what, make] of [
  ['an instance with getters', () => new Options()],
  ['an object that inherits its members', () => Object.create({ method: 'POST', body: 'hi', headers: { 'x-a': '1' } })],
  ['a function', () => Object.assign(() => {}, { method: 'POST', body: 'hi', headers: { 'x-a': '1' } })],
  ['a Request', (url) => new Request(url, { method: 'POST', body: 'hi', headers: { 'x-a': '1' } })],
]) {
  for (const [by, call] of [
    ['fetch()', fetch],
    ['fetch.withDefaults()', fetch.withDefaults({ cache: 'no-store' })],
  ]) {
    test(`the options of ${by} may be ${what}`, async (scope) => {
      const { peer, origin } = await server(scope)
      await (await call(`${origin}/x`, make(`${origin}/y`))).text()
      const [{ method, target, headers, body }] = peer.requests
      assert.deepStrictEqual([method, target, headers['x-a'], body.toString()], ['POST', '/x', '1', 'hi'])
    })
  }
}

test('each option is read once', async (scope) => {
  const { origin } = await server(scope)
  const reads = {}
  const init = new Proxy(
    { method: 'POST', body: 'x', cache: 'no-store' },
    {
      get(target, name) {
        reads[name] = (reads[name] ?? 0) + 1
        return target[name]
      },
    },
  )
  await (await fetch(`${origin}/`, init)).text()
  assert.deepStrictEqual(
    Object.entries(reads).filter(([, count]) => count > 1),
    [],
  )
  assert.strictEqual(reads.method, 1)
})

for (const init of ['abc', 3, true]) {
  test(`options that are ${JSON.stringify(init)} get the runtime's verdict`, async (scope) => {
    const { origin } = await server(scope)
    const outcome = (call) =>
      call(`${origin}/`, init).then(
        ({ status }) => status,
        ({ name }) => name,
      )
    assert.strictEqual(await outcome(fetch), await outcome(runtimeFetch))
  })
}

test('signal: null parts a fetch from its Request', async (scope) => {
  const { origin } = await server(scope)
  const controller = new AbortController()
  const request = new Request(`${origin}/`, { signal: controller.signal })
  controller.abort()
  assert.strictEqual((await fetch(request, { signal: null })).status, 200)
  await assert.rejects(fetch(new Request(`${origin}/`, { signal: controller.signal })), { name: 'AbortError' })
})

test('fields that are spelled in two ways are one, cookies joined as cookies are', async (scope) => {
  const { peer, origin } = await server(scope)
  const headers = { cookie: 'a=1', Cookie: 'b=2', 'x-a': '1', 'X-A': '2' }
  await (await fetch(`${origin}/`, { headers })).text()
  const [sent] = peer.requests
  assert.deepStrictEqual([sent.headers.cookie, sent.headers['x-a']], ['a=1; b=2', '1, 2'])
})

test('a query that is empty is sent', async (scope) => {
  const { peer, origin } = await server(scope)
  for (const path of ['/p?', '/p?#x', '/p#x?', '/p', '/p?a']) await (await fetch(`${origin}${path}`)).text()
  assert.deepStrictEqual(
    peer.requests.map(({ target }) => target),
    ['/p?', '/p?', '/p', '/p', '/p?a'],
  )
})

test('Proxy-Connection is between its user and the server: the connection is kept', async (scope) => {
  const { peer, origin } = await server(scope)
  for (let i = 0; i < 3; i++) await (await fetch(`${origin}/`, { headers: { 'Proxy-Connection': 'close' } })).text()
  assert.strictEqual(peer.requests[2].headers['proxy-connection'], 'close')
  assert.strictEqual(peer.accepted, 1)
})

for (const [what, bad] of [
  ['0x01', 'a\x01b'],
  ['0x7f', 'a\x7fb'],
]) {
  test(`a header value with ${what} fails alone, or is sent, as with the runtime's fetch`, async (scope) => {
    const { origin } = await server(scope)
    const outcome = (call, headers) =>
      call(`${origin}/`, { headers }).then(
        ({ status }) => status,
        ({ name }) => name,
      )
    const innocent = [fetch(`${origin}/`), fetch(`${origin}/`)]
    const forms = [{ x: bad }, new Headers({ x: bad }), [['x', bad]]]
    const ours = await Promise.all(forms.map((form) => outcome(fetch, form)))
    assert.deepStrictEqual(ours, Array(3).fill(await outcome(runtimeFetch, { x: bad })))
    for (const response of await Promise.all(innocent)) assert.strictEqual(response.status, 200)
    if (isNode)
      await assert.rejects(fetch('https://127.0.0.1:2/', { headers: { x: bad } }), ({ cause }) => {
        assert.deepStrictEqual([cause.name, cause.code], ['InvalidArgumentError', 'UND_ERR_INVALID_ARG'])
        return true
      })
  })
}

/** Bun and some versions of Node take hosts that others don't. */
const takesHost = URL.canParse?.('https://xn--a-/') === true

test('hosts that only this runtime takes for hosts fail by their look-up', {
  skip: !takesHost && 'refused as a URL',
}, async (scope) => {
  const { origin } = await server(scope, () => reply('', ['Location: https://xn--a-/'], 'HTTP/1.1 302 X'))
  const code = ({ cause, code }) => cause?.code ?? code
  for (const url of ['https://xn--a-/', `${origin}/`, 'http://xn--a-/']) {
    await assert.rejects(fetch(url), (error) => /^(ENOTFOUND|EAI_AGAIN)$/.test(code(error)))
  }
})

test("an agent and options that only the runtime's fetch has exclude each other", async (scope) => {
  const { peer, origin } = await server(scope)
  const init = { agent: scope.agent(), integrity: 'sha256-AAAA' }
  await assert.rejects(fetch(`${origin}/`, init), { code: 'ERR_INVALID_ARG_VALUE' })
  assert.strictEqual(peer.requests.length, 0)
})
