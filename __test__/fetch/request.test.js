'use strict'

// What a fetch sends, and to whom: options are read as a dictionary, credentials stay with the origin they are for, and what
// can't be sent fails alone.

const assert = require('node:assert')

const { fetch } = require('../..')
const { isNode } = require('../../lib/runtime/probes')
const { reply } = require('../support/peer')
const { major } = require('../support/runtime')
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
  for (const given of [headers, Object.entries(headers)]) {
    await (await fetch(`${origin}/`, { headers: given })).text()
    const sent = peer.requests.pop()
    assert.deepStrictEqual([sent.headers.cookie, sent.headers['x-a']], ['a=1; b=2', '1, 2'])
  }
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

/** Where two origins of this scope lead to each other: `/away` redirects to the other one. */
async function twoOrigins(scope, fields = []) {
  const other = await server(scope)
  const home = await server(scope, ({ target }) =>
    target === '/away' ? reply('', [`Location: ${other.origin}/there`, ...fields], 'HTTP/1.1 302 Found') : reply('ok'),
  )
  return { home, other }
}

const ofNode = { skip: !isNode && "the runtime's own fetch heeds none of it" }

for (const [what, init, expected] of [
  ['the mode', { mode: 'same-origin' }, { 'sec-fetch-mode': 'same-origin' }],
  ["the mode, in place of a user's field", { headers: { 'Sec-Fetch-Mode': 'x' } }, { 'sec-fetch-mode': 'cors' }],
  [
    'that no cache may answer what has a condition',
    { headers: { 'If-None-Match': '"x"' } },
    { pragma: 'no-cache', 'cache-control': 'no-cache' },
  ],
  // A server on loopback is as trustworthy as one of https.
  ['the origin of its referrer', { referrer: 'https://a.test/b?c#d' }, { referer: 'https://a.test/' }],
  [
    'its referrer whole',
    { referrer: 'http://a.test/b?c#d', referrerPolicy: 'unsafe-url' },
    { referer: 'http://a.test/b?c' },
  ],
  ['that origin alone', { referrer: 'http://a.test/b?c#d', referrerPolicy: 'origin' }, { referer: 'http://a.test/' }],
  ['no referrer', { referrer: 'http://a.test/b', referrerPolicy: 'no-referrer' }, { referer: undefined }],
  ['a referrer of the same origin', { referrer: 'self', referrerPolicy: 'same-origin' }, { referer: 'self' }],
]) {
  test(`a request tells ${what}`, ofNode, async (scope) => {
    const { peer, origin } = await server(scope)
    const self = `${origin}/page`
    await (await fetch(`${origin}/`, init.referrer === 'self' ? { ...init, referrer: self } : init)).text()
    for (const [name, value] of Object.entries(expected)) {
      assert.strictEqual(peer.requests[0].headers[name], value === 'self' ? self : value, name)
    }
  })
}

test('a redirect can say how much its target hears of the referrer', ofNode, async (scope) => {
  const { home, other } = await twoOrigins(scope, ['Referrer-Policy: bogus, no-referrer'])
  await (await fetch(`${home.origin}/away`, { referrer: `${home.origin}/page` })).text()
  assert.strictEqual(home.peer.requests[0].headers.referer, `${home.origin}/page`)
  assert.strictEqual(other.peer.requests[0].headers.referer, undefined)
})

test('a redirect to another origin costs the path of the referrer, and the type tells it', ofNode, async (scope) => {
  const { home, other } = await twoOrigins(scope)
  const response = await fetch(`${home.origin}/away`, { referrer: `${home.origin}/page` })
  assert.deepStrictEqual([response.type, response.clone().type, await response.text()], ['cors', 'cors', 'ok'])
  assert.strictEqual(other.peer.requests[0].headers.referer, `${home.origin}/`)
  assert.strictEqual((await fetch(`${home.origin}/`)).type, 'basic')
})

test('in mode same-origin nothing is sent to another origin', ofNode, async (scope) => {
  const { home, other } = await twoOrigins(scope)
  await assert.rejects(fetch(`${home.origin}/away`, { mode: 'same-origin' }), TypeError)
  assert.strictEqual(other.peer.requests.length, 0)
})

test('in mode no-cors nobody sees what another origin answers', ofNode, async (scope) => {
  const { home } = await twoOrigins(scope)
  const { type, status, url, redirected, headers, body } = await fetch(`${home.origin}/away`, { mode: 'no-cors' })
  assert.deepStrictEqual([type, status, url, redirected, [...headers], body], ['opaque', 0, '', false, [], null])
})

test("a user's host is the runtime's to heed or not", async (scope) => {
  const { peer, origin } = await server(scope)
  for (const ask of [runtimeFetch, fetch]) await (await ask(`${origin}/`, { headers: { Host: 'other.test' } })).text()
  const [theirs, ours] = peer.requests
  assert.strictEqual(ours.headers.host, theirs.headers.host)
})

for (const method of ['PATCH', 'PUT', 'POST', 'QUERY']) {
  test(`a ${method} without a body says that it has none`, async (scope) => {
    const { peer, origin } = await server(scope)
    await (await fetch(`${origin}/`, { method })).text()
    assert.strictEqual(peer.requests[0].headers['content-length'], '0')
  })
}

test("a Request's integrity is checked", { skip: !isNode && "the runtime's own fetch checks none" }, async (scope) => {
  const { origin } = await server(scope)
  const request = (integrity) => new Request(`${origin}/`, { integrity })
  const right = 'sha256-Jok2eyBcFs4y7UIAlCuLix4mLfxw2byfvHfElpmk8d8='
  await assert.rejects(fetch(request('sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=')), TypeError)
  assert.strictEqual(await (await fetch(request(right))).text(), 'ok')
  await assert.rejects(fetch(request(right), { agent: scope.agent() }), { code: 'ERR_INVALID_ARG_VALUE' })
})

test('what becomes a URL when it is read is one', async (scope) => {
  const { origin } = await server(scope)
  let reads = 0
  const url = { toString: () => `${reads++ === 0 ? origin : 'http://nowhere.invalid'}/` }
  assert.strictEqual(await (await fetch(url)).text(), 'ok')
  assert.strictEqual(await (await fetch(Object('data:,hello'))).text(), 'hello')
  await assert.rejects(async () => fetch(Symbol('url')))
})

for (const [what, body] of [
  ['a query', () => new URLSearchParams('a=b')],
  ['a form with a file', () => formWithFile()],
  ['a Blob', () => new Blob(['x'])],
]) {
  test(`${what} that is given up before it is sent leaves no error that nobody can catch`, async (scope) => {
    const { peer, origin } = await server(scope)
    const signal = AbortSignal.abort(new RangeError('given up'))
    const init = { method: 'POST', signal }
    await assert.rejects(fetch(origin, { ...init, body: body() }), RangeError)
    await assert.rejects(fetch(new Request(origin, { method: 'POST', body: body() }), { signal }), RangeError)
    assert.strictEqual(peer.requests.length, 0)
  })
}

function formWithFile() {
  const form = new FormData()
  form.append('a', 'b')
  form.append('file', new Blob(['x']), 'x.txt')
  return form
}

test('fields that name symbols are refused as the standard says', {
  skip: (!isNode || major < 20) && 'not by every runtime',
}, async (scope) => {
  const { origin } = await server(scope)
  await assert.rejects(fetch(origin, { headers: { a: 'b', [Symbol('c')]: 'd' } }), TypeError)
})
