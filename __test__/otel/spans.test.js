'use strict'

// keepwire/otel: what becomes of requests before they are sent, as spans of OpenTelemetry's SDK, by OTLP to a collector of the test's own.

const assert = require('node:assert')
const { AsyncLocalStorage } = require('node:async_hooks')
const http = require('node:http')

const { LOGIN, targetThrough } = require('../support/behind-proxy')
const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { scriptedProxy } = require('../support/proxy')
const { baseline, isNode } = require('../support/runtime')
const { test, testBoth } = require('../support/suite')

const { recordSpans } = baseline ? {} : require('../../lib/otel')
const { fetch, totals } = baseline ? {} : require('../..')

const OK = (_, connection) => connection.write(reply('ok'))

const [major, minor] = process.versions.node.split('.').map(Number)
/** What the SDK itself asks for. */
const hasSdk = isNode && (major > 22 || (major === 22 && minor >= 15))
const OURS = { ours: 'records nothing', skip: !hasSdk && 'the SDK needs Node 22.15', timeout: 60_000 }

/** What `@opentelemetry/context-async-hooks` is, as far as it is needed here. */
class ContextManager {
  #storage = new AsyncLocalStorage()
  #root

  constructor(root) {
    this.#root = root
  }

  active() {
    return this.#storage.getStore() ?? this.#root
  }

  with(context, action, receiver, ...values) {
    return this.#storage.run(context, () => action.call(receiver, ...values))
  }

  bind(_context, target) {
    return target
  }

  enable() {
    return this
  }

  disable() {
    return this
  }
}

/** The SDK, with an exporter to a collector; `spans()` gives what that has received, by name. */
async function tracing(scope) {
  const api = require('@opentelemetry/api')
  const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http')
  const { SimpleSpanProcessor, TracerProvider } = require('@opentelemetry/sdk-trace')
  const received = []
  const collector = http.createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk) => (text += chunk))
    request.on('end', () => {
      received.push(JSON.parse(text))
      response.writeHead(200, { 'Content-Type': 'application/json', Connection: 'close' }).end('{}')
    })
  })
  await new Promise((resolve) => collector.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => collector.close(resolve)))
  const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${collector.address().port}/v1/traces` })
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  api.context.setGlobalContextManager(new ContextManager(api.ROOT_CONTEXT))
  api.trace.setGlobalTracerProvider(provider)
  scope.defer(() => {
    api.trace.disable()
    api.context.disable()
  })
  const tracer = api.trace.getTracer('test')
  /** Within a span of the program's own. */
  const within = async (name, action) => {
    const span = tracer.startSpan(name)
    try {
      return await api.context.with(api.trace.setSpan(api.context.active(), span), action)
    } finally {
      span.end()
    }
  }
  const spans = async () => {
    await provider.forceFlush()
    const told = received.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans))
    return told.flatMap(({ spans: each, scope: { name } }) =>
      each.map((span) => ({ ...span, by: name, attributes: named(span.attributes) })),
    )
  }
  return { api, spans, within, end: () => provider.shutdown() }
}

/** Attributes as OTLP has them, by name. */
function named(attributes = []) {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}

testBoth(
  'the opening of a connection is a child of the active span, and its steps are within it',
  OURS,
  async (scope) => {
    const { api, end, spans, within } = await tracing(scope)
    const stop = recordSpans(api)
    scope.defer(stop)
    const peer = await scope.peer(OK)
    const agent = scope.agent({ keepAlive: true })
    const path = '/object?X-Amz-Signature=secret1&size=3&sig=secret2#part'
    await within('program', async () => {
      await send({ host: 'localhost', port: peer.port, path, agent })
      // It reuses the connection: there is nothing to tell.
      await send({ host: 'localhost', port: peer.port, path, agent })
    })
    // No span is active here.
    await send({ host: 'localhost', port: peer.port, path: '/orphan', agent: scope.agent({}) })
    const all = await spans()
    const ours = all.filter(({ by }) => by === 'keepwire')
    const parent = all.find(({ name }) => name === 'program')
    const [setup, ...others] = ours.filter(({ name }) => name === 'keepwire.connection.setup')
    assert.deepStrictEqual(others, [])
    assert.strictEqual(setup.parentSpanId, parent.spanId)
    assert.strictEqual(setup.traceId, parent.traceId)
    const server = { 'server.address': 'localhost', 'server.port': peer.port, 'url.scheme': scope.scheme }
    const { 'keepwire.connection.id': id, 'url.full': url, ...rest } = setup.attributes
    assert.deepStrictEqual(rest, { ...server, 'http.request.method': 'GET' })
    assert.ok(id > 0)
    assert.strictEqual(
      url,
      `${scope.scheme}://localhost:${peer.port}/object?X-Amz-Signature=REDACTED&size=3&sig=REDACTED#part`,
    )
    const steps = ours.filter(({ parentSpanId }) => parentSpanId === setup.spanId)
    const names = steps.map(({ name }) => name.replace('keepwire.connection.', ''))
    assert.deepStrictEqual(
      names.filter((name) => name !== 'dns' && name !== 'connect'),
      scope.scheme === 'https' ? ['tls'] : [],
    )
    let at = BigInt(setup.startTimeUnixNano)
    for (const { attributes, endTimeUnixNano, startTimeUnixNano } of steps) {
      assert.deepStrictEqual(attributes, server)
      // Numbers of that size have a resolution of a quarter of a microsecond.
      assert.ok(BigInt(startTimeUnixNano) >= at - 1000n)
      at = BigInt(endTimeUnixNano)
    }
    assert.ok(at <= BigInt(setup.endTimeUnixNano) + 1000n)
    assert.doesNotMatch(JSON.stringify(ours), /secret|orphan/)
    stop()
    await within('later', () => send({ port: peer.port, agent: scope.agent({}) }))
    assert.strictEqual((await spans()).filter(({ by }) => by === 'keepwire').length, ours.length)
    await end()
  },
)

test('otel: through a proxy, CONNECT is a step between the connection and TLS', OURS, async (scope) => {
  const { api, end, spans, within } = await tracing(scope)
  scope.defer(recordSpans(api))
  const slowMs = 30
  const proxy = await scriptedProxy(scope, {
    onHead(head, socket) {
      if (!head.startsWith('CONNECT')) return false
      // Once more, and then as always.
      if (socket.isLate) return false
      socket.isLate = true
      setTimeout(() => socket.emit('data', Buffer.from(head, 'latin1')), slowMs)
      return true
    },
  })
  const { ask, origin } = await targetThrough(scope, proxy)
  await within('program', async () => {
    assert.strictEqual((await ask('/')).status, 200)
    assert.strictEqual((await ask('/')).status, 200)
  })
  assert.match(proxy.heads.join(), /CONNECT localhost:/)
  const ours = (await spans()).filter(({ by }) => by === 'keepwire')
  const [setup, ...others] = ours.filter(({ name }) => name === 'keepwire.connection.setup')
  assert.deepStrictEqual(others, [])
  const steps = ours
    .filter(({ parentSpanId }) => parentSpanId === setup.spanId)
    .map((span) => ({ ...span, step: span.name.replace('keepwire.connection.', '') }))
    .sort((one, other) => Number(BigInt(one.startTimeUnixNano) - BigInt(other.startTimeUnixNano)))
  assert.deepStrictEqual(
    steps.map(({ step }) => step).filter((step) => step !== 'dns'),
    ['connect', 'proxy', 'tls'],
  )
  const through = steps.find(({ step }) => step === 'proxy')
  const tookMs = Number(BigInt(through.endTimeUnixNano) - BigInt(through.startTimeUnixNano)) / 1e6
  assert.ok(tookMs >= slowMs - 2, `${tookMs} ms`)
  assert.ok(Math.abs(tookMs - totals()[origin].proxyMs.sum) < 0.01, 'as the counters have it')
  const { port } = new URL(origin)
  assert.deepStrictEqual(through.attributes, {
    'server.address': 'localhost',
    'server.port': Number(port),
    'url.scheme': 'https',
  })
  for (const secret of [LOGIN.user, LOGIN.password, LOGIN.digest]) assert.ok(!JSON.stringify(ours).includes(secret))
  await end()
})

test('otel: the wait for a connection, of requests and of fetches, also of who gives up', OURS, async (scope) => {
  const { api, end, spans, within } = await tracing(scope)
  scope.defer(recordSpans(api))
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const ask = () => send({ port: peer.port, agent })
  const first = within('first', ask)
  const second = within('second', ask)
  const third = within('third', async () => (await fetch(`http://127.0.0.1:${peer.port}/`, { agent })).text())
  const gone = within('gone', () => {
    const request = http.get({ host: '127.0.0.1', port: peer.port, agent })
    return new Promise(
      (resolve) => request.once('error', resolve).once('socket', resolve) && setImmediate(() => request.destroy()),
    )
  })
  await gone
  for (const each of [first, second, third]) {
    while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    held.shift().write(reply('ok'))
    await each
  }
  const all = await spans()
  const waits = all.filter(({ name }) => name === 'keepwire.request.wait')
  const by = Object.fromEntries(
    waits.map((wait) => [all.find(({ spanId }) => spanId === wait.parentSpanId).name, wait]),
  )
  assert.deepStrictEqual(Object.keys(by).sort(), ['gone', 'second', 'third'])
  assert.strictEqual(by.second.attributes['keepwire.queue.position'], 0)
  assert.deepStrictEqual([by.second.status.code, by.gone.status.code], [0, 2])
  for (const { endTimeUnixNano, startTimeUnixNano } of waits) {
    assert.ok(BigInt(endTimeUnixNano) > BigInt(startTimeUnixNano))
  }
  await end()
})

test('otel: a request that is sent again says so on its span', OURS, async (scope) => {
  const { api, end, spans, within } = await tracing(scope)
  scope.defer(recordSpans(api))
  let isFirst = true
  const peer = await scope.peer(({ target }, connection) => {
    if (target === '/again' && isFirst) {
      isFirst = false
      connection.reset()
    } else connection.write(reply('ok'))
  })
  const agent = scope.agent({ keepAlive: true })
  await send({ port: peer.port, agent })
  await within('program', () => send({ port: peer.port, path: '/again', agent }))
  const all = await spans()
  const parent = all.find(({ name }) => name === 'program')
  assert.strictEqual(parent.attributes['http.request.resend_count'], 1)
  assert.deepStrictEqual(
    parent.events.map(({ name }) => name),
    ['keepwire.request.resend'],
  )
  const setup = all.find(({ name }) => name === 'keepwire.connection.setup')
  assert.deepStrictEqual([setup.parentSpanId, setup.attributes['http.request.resend_count']], [parent.spanId, 1])
  await end()
})

test('otel: what would let the reader of a span do what the request did is redacted', {
  ours: 'redacts nothing',
}, () => {
  const { redacted } = require('../../lib/otel/redact')
  for (const [url, told] of [
    ['http://user:secret@host/', 'http://REDACTED:REDACTED@host/'],
    ['http://user@host:1/a@b?c=d', 'http://REDACTED@host:1/a@b?c=d'],
    ['https://h/?AWSAccessKeyId=a&Signature=b&x=c', 'https://h/?AWSAccessKeyId=REDACTED&Signature=REDACTED&x=c'],
    ['https://h/?x-goog-signature=a&%73ig=b&sig', 'https://h/?x-goog-signature=REDACTED&%73ig=REDACTED&sig'],
    ['https://h/a?access_token=a?b=c#?sig=d', 'https://h/a?access_token=REDACTED#?sig=d'],
    ['http://h/a#b?c', 'http://h/a#b?c'],
    ['http://h/signature', 'http://h/signature'],
  ]) {
    assert.strictEqual(redacted(url), told)
  }
})

test('otel: recordSpans() takes the API and nothing else', { ours: 'has none' }, () => {
  for (const wrong of [undefined, null, {}, { trace: {} }]) {
    assert.throws(() => recordSpans(wrong), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  const api = { trace: { getTracer: () => ({}) }, context: { active: () => ({}) } }
  assert.throws(() => recordSpans(api, { orphans: 1 }), { code: 'ERR_INVALID_ARG_TYPE' })
  recordSpans(api)()
})
