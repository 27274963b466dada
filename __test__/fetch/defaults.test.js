'use strict'

// fetch.withDefaults(): what is not 2xx rejects, what may be sent again is, and nothing else.

const assert = require('node:assert')

const { fetch } = require('../..')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

/** A server that answers with `answers` in turn, the last one for ever after. */
async function server(scope, ...answers) {
  const peer = await scope.peer((request, connection) => {
    const answer = answers.length > 1 ? answers.shift() : answers[0]
    if (answer === 'drop') connection.socket.destroy()
    else connection.write(typeof answer === 'function' ? answer(request) : answer)
  })
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  return { peer, origin: `http://127.0.0.1:${peer.port}` }
}

const status = (code, body = 'wrong', headers = []) => reply(body, headers, `HTTP/1.1 ${code} Status`)
const QUICK = { attempts: 3, backoff: 0 }

test('2xx is the response', async (scope) => {
  const { origin } = await server(scope, status(201, 'made'))
  const response = await fetch.withDefaults()(`${origin}/`)
  assert.deepStrictEqual([response.status, await response.text()], [201, 'made'])
})

test('anything else rejects with its status, url and an excerpt of its body', async (scope) => {
  const { peer, origin } = await server(scope, status(404, 'x'.repeat(10_000), ['X-A: b']))
  const call = fetch.withDefaults({ retry: QUICK })
  await assert.rejects(call(`${origin}/missing`), (error) => {
    assert.ok(error instanceof Error)
    assert.deepStrictEqual(
      [error.name, error.code, error.status, error.statusText, error.url, error.attempts],
      ['HttpError', 'ERR_KEEPWIRE_HTTP_STATUS', 404, 'Status', `${origin}/missing`, 1],
    )
    assert.strictEqual(error.message, `GET ${origin}/missing: 404 Status`)
    assert.strictEqual(error.excerpt, 'x'.repeat(2048))
    assert.strictEqual(error.headers.get('x-a'), 'b')
    return true
  })
  assert.strictEqual(peer.requests.length, 1)
})

test('baseUrl and headers are those of every fetch; its own win', async (scope) => {
  const { origin } = await server(scope, (request) => reply(JSON.stringify([request.target, request.headers])))
  const call = fetch.withDefaults({ baseUrl: `${origin}/api/`, headers: { 'x-a': '1', 'x-b': '2' } })
  const [target, headers] = await (await call('users?x', { headers: { 'X-B': '3' } })).json()
  assert.deepStrictEqual([target, headers['x-a'], headers['x-b']], ['/api/users?x', '1', '3'])
  const more = call.withDefaults({ headers: { 'x-a': '4' } })
  assert.strictEqual((await (await more('/there')).json())[1]['x-a'], '4')
})

test('a GET is sent again after 503, up to its attempts', async (scope) => {
  const { peer, origin } = await server(scope, status(503), status(503), status(200, 'at last'))
  assert.strictEqual(await (await fetch.withDefaults({ retry: QUICK })(`${origin}/`)).text(), 'at last')
  assert.strictEqual(peer.requests.length, 3)
  const failing = await server(scope, status(503))
  await assert.rejects(fetch.withDefaults({ retry: QUICK })(`${failing.origin}/`), { status: 503, attempts: 3 })
  assert.strictEqual(failing.peer.requests.length, 3)
  assert.strictEqual(failing.peer.accepted, 1)
})

test('a GET is sent again after a lost connection', async (scope) => {
  const { origin } = await server(scope, 'drop', status(200, 'at last'))
  assert.strictEqual(await (await fetch.withDefaults({ retry: QUICK })(`${origin}/`)).text(), 'at last')
})

for (const [what, init] of [
  ['a POST', { method: 'POST', body: 'x' }],
  ['a PATCH', { method: 'PATCH', body: 'x' }],
  ['a PUT whose body is a stream', { method: 'PUT', body: new Blob(['x']).stream(), duplex: 'half' }],
]) {
  test(`${what} is never sent again`, async (scope) => {
    const { peer, origin } = await server(scope, status(503))
    await assert.rejects(fetch.withDefaults({ retry: QUICK })(`${origin}/`, init), { status: 503, attempts: 1 })
    assert.strictEqual(peer.requests.length, 1)
  })
}

test('a POST is not sent again after a lost connection', async (scope) => {
  const { peer, origin } = await server(scope, 'drop')
  await assert.rejects(fetch.withDefaults({ retry: QUICK })(`${origin}/`, { method: 'POST', body: 'x' }), TypeError)
  assert.strictEqual(peer.requests.length, 1)
})

test('statuses that are not to be retried are not', async (scope) => {
  const { peer, origin } = await server(scope, status(400))
  await assert.rejects(fetch.withDefaults({ retry: QUICK })(`${origin}/`), { status: 400 })
  await assert.rejects(fetch.withDefaults({ retry: { ...QUICK, on: [400] } })(`${origin}/`), { attempts: 3 })
  await assert.rejects(fetch.withDefaults({ retry: false })(`${origin}/`), { attempts: 1 })
  assert.strictEqual(peer.requests.length, 5)
})

test('Retry-After is honoured in place of the backoff, in seconds and as a date', async (scope) => {
  const past = new Date(Date.now() - 5_000).toUTCString()
  for (const value of ['0', past]) {
    const { origin } = await server(scope, status(429, '', [`Retry-After: ${value}`]), status(200, 'now'))
    const call = fetch.withDefaults({ retry: { attempts: 2, backoff: 1_000_000 } })
    assert.strictEqual(await (await call(`${origin}/`)).text(), 'now')
  }
})

test("Retry-After is a date by the server's own clock", async (scope) => {
  const ahead = new Date(Date.now() + 7_200_000).toUTCString()
  const { origin } = await server(
    scope,
    status(429, '', [`Date: ${ahead}`, `Retry-After: ${ahead}`]),
    status(200, 'now'),
  )
  const call = fetch.withDefaults({ retry: { attempts: 2, backoff: 1_000_000 } })
  assert.strictEqual(await (await call(`${origin}/`)).text(), 'now')
})

test('a Retry-After that is no time does not take the place of the backoff', async (scope) => {
  for (const value of ['soon', '-1', '1.5', '1, 2', '2999-01-01', '1 Jan 2999', 'Sun, sometime 2999']) {
    const { origin } = await server(scope, status(503, '', [`Retry-After: ${value}`]), status(200, 'now'))
    assert.strictEqual(await (await fetch.withDefaults({ retry: QUICK })(`${origin}/`)).text(), 'now', value)
  }
})

test('a server that asks for more than a minute is not waited for', async (scope) => {
  const { peer, origin } = await server(scope, status(503, '', ['Retry-After: 3600']))
  await assert.rejects(fetch.withDefaults({ retry: QUICK })(`${origin}/`), { status: 503, attempts: 1 })
  assert.strictEqual(peer.requests.length, 1)
})

test('an abort ends the pause before the next attempt', async (scope) => {
  const { origin } = await server(scope, status(503))
  const controller = new AbortController()
  const call = fetch.withDefaults({
    retry: { attempts: 2, backoff: () => (setImmediate(() => controller.abort()), 1e6) },
  })
  await assert.rejects(call(`${origin}/`, { signal: controller.signal }), { name: 'AbortError' })
})

test('defaults that make no sense are refused', () => {
  assert.throws(() => fetch.withDefaults({ retry: { attempts: 0 } }), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => fetch.withDefaults({ retry: { attempts: 'many' } }), { code: 'ERR_INVALID_ARG_TYPE' })
  assert.throws(() => fetch.withDefaults({ retry: { backoff: -1 } }), { code: 'ERR_OUT_OF_RANGE' })
  assert.throws(() => fetch.withDefaults({ baseUrl: 'nowhere' }), TypeError)
})

for (const [code, retry] of [
  [404, QUICK],
  [503, false],
  [503, { attempts: 2, backoff: 0 }],
]) {
  test(`an error whose body never ends is told with what has come of it: ${code}, ${JSON.stringify(retry)}`, async (scope) => {
    const begun = `HTTP/1.1 ${code} Status\r\nContent-Length: 100\r\n\r\nso far`
    const { peer, origin } = await server(scope, begun)
    await assert.rejects(fetch.withDefaults({ retry })(`${origin}/`), (error) => {
      assert.deepStrictEqual([error.name, error.status, error.excerpt], ['HttpError', code, 'so far'])
      return true
    })
    await until(() => peer.open.size === 0, 'its connection is closed')
  })
}
