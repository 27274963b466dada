'use strict'

// What tracers hear of a fetch, on the channels of undici and in its shape: for each request one `create`, and one `trailers`
// or `error`.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')

const { fetch } = require('../..')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

const NAMES = {
  'undici:request:create': 'create',
  'undici:client:sendHeaders': 'sendHeaders',
  'undici:request:bodySent': 'bodySent',
  'undici:request:headers': 'headers',
  'undici:request:trailers': 'trailers',
  'undici:request:error': 'error',
}

/**
 * All messages while the test runs, each with its kind.
 * @param {(request: any) => void} onCreate
 */
function listen(scope, onCreate = () => {}) {
  const messages = []
  for (const [name, kind] of Object.entries(NAMES)) {
    const hear = (message) => {
      messages.push({ kind, ...message })
      if (kind === 'create') onCreate(message.request)
    }
    diagnostics.subscribe(name, hear)
    scope.defer(() => diagnostics.unsubscribe(name, hear))
  }
  return messages
}

const kinds = (messages) => messages.map(({ kind }) => kind)
const WHOLE = ['create', 'sendHeaders', 'bodySent', 'headers', 'trailers']

async function serve(scope, handlers) {
  const peer = await scope.peer(handlers)
  const agent = scope.agent({ keepAlive: true })
  return { peer, agent, origin: `http://127.0.0.1:${peer.port}` }
}

test('a request is told in the shape of undici, and what a listener adds goes out', async (scope) => {
  const { peer, agent, origin } = await serve(scope, (_, connection) => connection.write(reply('hello')))
  const messages = listen(scope, (request) => {
    assert.strictEqual(request.addHeader('Traceparent', '00-1-2-01'), request)
    request.headers.push('x-pushed', '1')
    request.mine = true
  })
  const headers = { 'x-a': 'b', authorization: 'c' }
  const response = await fetch(`${origin}/a?b=c#d`, { agent, method: 'POST', body: 'body', headers })
  assert.strictEqual(await response.text(), 'hello')
  assert.deepStrictEqual(kinds(messages), WHOLE)
  const [{ request }, sent, , answer, end] = messages
  for (const message of messages) assert.strictEqual(message.request, request)
  const { body, completed, contentLength, method, path } = request
  assert.deepStrictEqual(
    { body, completed, contentLength, method, origin: request.origin, path },
    { body: 'body', completed: true, contentLength: 4, method: 'POST', origin, path: '/a?b=c' },
  )
  const pairs = request.headers.join('\n')
  assert.match(pairs, /^x-a\nb\nauthorization\nc\n/)
  assert.match(pairs, /\nTraceparent\n00-1-2-01\nx-pushed\n1$/)
  assert.match(
    sent.headers,
    /^POST \/a\?b=c HTTP\/1\.1\r\nhost: [\s\S]*\r\ntraceparent: 00-1-2-01\r\n[\s\S]*[^\n]\r\n$/,
  )
  assert.deepStrictEqual([sent.socket.remoteAddress, sent.socket.remotePort], ['127.0.0.1', peer.port])
  const { headers: fields, statusCode, statusText } = answer.response
  assert.deepStrictEqual([statusCode, statusText], [200, 'OK'])
  assert.ok(fields.every(Buffer.isBuffer))
  assert.deepStrictEqual(fields.map(String).slice(0, 2), ['Content-Length', '5'])
  assert.deepStrictEqual(end.trailers, [])
  const [seen] = peer.requests
  assert.strictEqual(seen.body.toString(), 'body')
  const wire = seen.rawHeaders ?? Object.entries(seen.headers).flat()
  assert.ok(wire.includes('00-1-2-01') && wire.includes('x-pushed'), String(wire))
})

test('each hop of a redirect is told, and has its own context', async (scope) => {
  const { peer, agent, origin } = await serve(scope, (request, connection) => {
    if (request.target !== '/') return connection.write(reply())
    connection.write('HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 2\r\n\r\nno')
  })
  let hops = 0
  const messages = listen(scope, (request) => request.addHeader('traceparent', `hop-${hops++}`))
  for (const init of [{ agent }, {}]) await (await fetch(origin, init)).text()
  scope.defer(() => peer.open.forEach((connection) => connection.socket.destroy()))
  assert.deepStrictEqual(kinds(messages), [...WHOLE, ...WHOLE, ...WHOLE, ...WHOLE])
  const sent = messages.filter(({ kind }) => kind === 'sendHeaders').map(({ headers }) => headers.match(/hop-\d/g))
  assert.deepStrictEqual(sent, [['hop-0'], ['hop-1'], ['hop-2'], ['hop-3']])
  assert.strictEqual(messages[3].response.statusCode, 302)
})

test('what fails, is aborted or is not wanted any more is told as an error, once', async (scope) => {
  const { agent, peer, origin } = await serve(scope, (request, connection) => {
    if (request.target === '/drop') connection.socket.destroy()
    else if (request.target === '/half') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
  })
  const messages = listen(scope)
  const told = async (path, init, use = async () => {}) => {
    messages.length = 0
    const error = await fetch(origin + path, { agent, ...init }).then(use, (error) => error)
    await until(() => kinds(messages).includes('error'))
    const all = kinds(messages)
    assert.deepStrictEqual([all[0], all.at(-1), all.indexOf('error')], ['create', 'error', all.length - 1])
    assert.strictEqual(messages[0].request.aborted, true)
    return { error, told: messages.at(-1).error }
  }
  const dropped = await told('/drop', { method: 'POST' })
  assert.strictEqual(dropped.told, dropped.error.cause)
  const controller = new AbortController()
  const reason = new Error('not needed')
  const aborting = told('/hang', { signal: controller.signal })
  await until(() => peer.requests.some(({ target }) => target === '/hang'))
  controller.abort(reason)
  assert.strictEqual((await aborting).told, reason)
  const cancelled = await told('/half', {}, (response) => response.body.cancel())
  assert.strictEqual(cancelled.told.name, 'AbortError')
  const late = await told('/', { method: 'POST', body: 'x', timeout: 20 })
  assert.strictEqual(late.told.name, 'TimeoutError')
  await until(() => peer.open.size === 0)
})

test('a stream is sent in full before that is told', async (scope) => {
  const { agent, origin, peer } = await serve(scope, (_, connection) => connection.write(reply()))
  const messages = listen(scope)
  const body = new Blob(['x'.repeat(10)]).stream()
  await (await fetch(origin, { agent, method: 'POST', body, duplex: 'half' })).text()
  assert.deepStrictEqual(kinds(messages), WHOLE)
  assert.strictEqual(peer.requests[0].body.length, 10)
})

test('headers that must not go out are refused', async (scope) => {
  const { agent, origin, peer } = await serve(scope, (_, connection) => connection.write(reply()))
  const messages = listen(scope, (request) => {
    for (const [name, value] of [
      ['a b', 'c'],
      ['a', 'b\r\nc: d'],
      ['transfer-encoding', 'chunked'],
      ['content-length', '1'],
    ]) {
      assert.throws(() => request.addHeader(name, value), { code: 'UND_ERR_INVALID_ARG' })
    }
    if (request.path === '/pushed') request.headers.push('a', 'b\r\nc: d')
  })
  await (await fetch(origin, { agent })).text()
  await assert.rejects(fetch(`${origin}/pushed`, { agent }), (error) => error.cause.code === 'UND_ERR_INVALID_ARG')
  assert.deepStrictEqual(kinds(messages), [...WHOLE, 'create', 'error'])
  assert.strictEqual(peer.requests.length, 1)
})
