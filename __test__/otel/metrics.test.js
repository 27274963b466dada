'use strict'

// keepwire/otel: the process's counters as OpenTelemetry's SDK exports them, by OTLP to a collector of the test's own.

const assert = require('node:assert')
const http = require('node:http')

const { LOGIN, targetThrough } = require('../support/behind-proxy')
const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { scriptedProxy } = require('../support/proxy')
const { baseline, isNode } = require('../support/runtime')
const { test } = require('../support/suite')

const { metricProducer } = baseline ? {} : require('../../lib/otel')
const { totals } = baseline ? {} : require('../..')

const OURS = { ours: 'tells nothing' }
const OK = (_, connection) => connection.write(reply('ok'))

const [major, minor] = process.versions.node.split('.').map(Number)
/** What the SDK itself asks for. */
const hasSdk = isNode && (major > 22 || (major === 22 && minor >= 15))

/** A collector: what is sent to it, as JSON. */
async function collector(scope) {
  const received = []
  const server = http.createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk) => (text += chunk))
    request.on('end', () => {
      received.push({ url: request.url, body: JSON.parse(text) })
      response.writeHead(200, { 'Content-Type': 'application/json', Connection: 'close' }).end('{}')
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  return { received, url: `http://127.0.0.1:${server.address().port}/v1/metrics` }
}

/** Attributes as OTLP has them, by name. */
function named(attributes) {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}

test('otel: a collector gets what totals() has, by the names of the conventions', {
  ...OURS,
  skip: !hasSdk && 'the SDK needs Node 22.15',
}, async (scope) => {
  const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http')
  const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics')
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxSockets: 2 })
  await Promise.all(Array.from({ length: 6 }, () => send({ port: peer.port, agent })))
  const { received, url } = await collector(scope)
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url }),
    exportIntervalMillis: 3_600_000,
    exportTimeoutMillis: 3_600_000,
    metricProducers: [metricProducer()],
  })
  const provider = new MeterProvider({ readers: [reader] })
  const told = totals()[`http://127.0.0.1:${peer.port}`]
  await provider.forceFlush()
  await provider.shutdown()

  const scopes = received.flatMap(({ body }) => body.resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics))
  const ours = scopes.find(({ scope: { name } }) => name === 'keepwire')
  const points = (name) => {
    const metric = ours.metrics.find((each) => each.name === name)
    const { dataPoints } = metric.histogram ?? metric.sum ?? metric.gauge
    const here = dataPoints.filter(({ attributes }) => named(attributes)['server.port'] === peer.port)
    return { metric, points: here.map((point) => ({ ...point, attributes: named(point.attributes) })) }
  }

  const server = { 'server.address': '127.0.0.1', 'server.port': peer.port, 'url.scheme': 'http' }
  const duration = points('http.client.request.duration')
  assert.strictEqual(duration.metric.unit, 's')
  assert.strictEqual(duration.metric.histogram.aggregationTemporality, 2, 'cumulative')
  const [point] = duration.points
  assert.deepStrictEqual(point.attributes, {
    ...server,
    'http.request.method': 'GET',
    'keepwire.response.status_class': '2xx',
  })
  assert.deepStrictEqual(
    point.explicitBounds,
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  )
  assert.strictEqual(Number(point.count), 6)
  assert.strictEqual(
    point.bucketCounts.reduce((sum, count) => sum + Number(count), 0),
    6,
  )
  assert.ok(Math.abs(point.sum - told.durationMs.GET['2xx'].sum / 1000) < 1e-6)

  const open = points('http.client.open_connections')
  assert.strictEqual(open.metric.unit, '{connection}')
  assert.ok(!open.metric.sum.isMonotonic)
  assert.deepStrictEqual(
    open.points.map(({ asDouble, attributes }) => [attributes['http.connection.state'], asDouble]),
    [
      ['active', 0],
      ['idle', 2],
    ],
  )
  const [active] = points('http.client.active_requests').points
  assert.deepStrictEqual([active.attributes, active.asDouble], [server, 0])
  const created = points('keepwire.connections.opened')
  assert.ok(created.metric.sum.isMonotonic)
  assert.strictEqual(created.points[0].asDouble, told.created)
  assert.strictEqual(points('keepwire.connections.reused').points[0].asDouble, told.reused)
  assert.strictEqual(points('keepwire.connections.limit').points[0].asDouble, 2)
  for (const { name, unit } of ours.metrics) assert.ok(/^(http\.client|keepwire)\.[\w.]+$/.test(name) && unit, name)
})

test('otel: proxies have metrics of their own, and a phase', OURS, async (scope) => {
  const proxy = await scriptedProxy(scope)
  const refusing = await scriptedProxy(scope, {
    onHead(_, socket) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
      return true
    },
  })
  const { ask, origin } = await targetThrough(scope, proxy)
  for (const _ of [1, 2]) assert.strictEqual((await ask('/')).status, 200)
  await (await targetThrough(scope, refusing)).ask('/')
  const { resourceMetrics } = await metricProducer({
    proxy: (name) => (name === refusing.url ? 'refusing' : name),
  }).collect()
  const all = resourceMetrics.scopeMetrics[0].metrics
  const of = (name, matching) => {
    const { dataPoints, descriptor } = all.find((metric) => metric.descriptor.name === name)
    const ours = dataPoints.filter(({ attributes }) => matching(attributes))
    return ours.map(({ attributes, value }) => [attributes, value.count ?? value, descriptor.unit])
  }
  const ofOurs = ({ 'keepwire.proxy.name': name }) => name === proxy.url || name === 'refusing'
  const named = { 'keepwire.proxy.name': proxy.url }
  assert.deepStrictEqual(
    of('keepwire.proxy.open_connections', ({ 'keepwire.proxy.name': name }) => name === proxy.url),
    ['active', 'idle', 'dialing'].map((state) => [
      { ...named, 'http.connection.state': state },
      state === 'idle' ? 1 : 0,
      '{connection}',
    ]),
  )
  const single = (name) => of(name, ofOurs).filter(([, value]) => value > 0)
  assert.deepStrictEqual(single('keepwire.proxy.connections.opened'), [[named, 1, '{connection}']])
  assert.deepStrictEqual(single('keepwire.proxy.connections.reused'), [[named, 1, '{request}']])
  assert.deepStrictEqual(single('keepwire.proxy.setup'), [[named, 1, 's']])
  const refused = { 'keepwire.proxy.name': 'refusing' }
  assert.deepStrictEqual(single('keepwire.proxy.refusals'), [
    [{ ...refused, 'keepwire.proxy.status': '502' }, 1, '{connection}'],
  ])
  assert.deepStrictEqual(single('keepwire.proxy.errors'), [
    [{ ...refused, 'error.type': 'ERR_PROXY_TUNNEL' }, 1, '{connection}'],
  ])
  const { port } = new URL(origin)
  const phases = of('keepwire.connection.setup', (attributes) => attributes['server.port'] === Number(port))
  assert.deepStrictEqual(
    phases.map(([attributes, count]) => [attributes['keepwire.phase'], count]).filter(([phase]) => phase !== 'dns'),
    [
      ['tcp', 1],
      ['proxy', 1],
      ['tls', 1],
    ],
  )
  for (const secret of [LOGIN.user, LOGIN.password, LOGIN.digest]) assert.ok(!JSON.stringify(all).includes(secret))
})

test('otel: what somebody else records is left out, and what nobody has is refused', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  await send({ port: peer.port, agent: scope.agent({ keepAlive: true }) })
  const names = async (options) => {
    const { errors, resourceMetrics } = await metricProducer(options).collect()
    assert.deepStrictEqual(errors, [])
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor }) => descriptor.name))
  }
  const all = await names()
  assert.ok(all.includes('http.client.request.duration') && all.includes('http.client.active_requests'))
  assert.strictEqual(new Set(all).size, all.length)
  const some = await names({ exclude: ['http.client.request.duration', 'http.client.active_requests'] })
  assert.deepStrictEqual(
    some,
    all.filter((name) => !/duration$|active_requests/.test(name) || name === 'http.client.connection.duration'),
  )
  assert.throws(() => metricProducer({ exclude: ['http.client.duration'] }), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('otel: every attribute has a name, and origins become servers', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true })
  await send({ port: peer.port, agent })
  agent.destroy()
  await send({ port: 1, agent: scope.agent({ keepAlive: true }) }).catch(() => {})
  const { resourceMetrics } = await metricProducer({
    origin: (name) => (name.endsWith(':1') ? 'named' : name),
  }).collect()
  const attributes = resourceMetrics.scopeMetrics[0].metrics.flatMap(({ dataPoints }) =>
    dataPoints.map((point) => point.attributes),
  )
  const keys = new Set(attributes.flatMap((each) => Object.keys(each)))
  assert.ok(!keys.has('undefined'), [...keys].join())
  assert.ok(
    [...keys].every((key) => /^(server|url|http|error|tls|network|keepwire)\./.test(key)),
    [...keys].join(),
  )
  assert.ok(attributes.some((each) => each['server.address'] === 'named' && each['server.port'] === undefined))
  const { serverOf } = require('../../lib/otel/conventions')
  assert.deepStrictEqual(serverOf('https://[::1]:8443'), {
    'server.address': '::1',
    'server.port': 8443,
    'url.scheme': 'https',
  })
  assert.deepStrictEqual(serverOf('http+unix:/run/a.sock'), { 'server.address': '/run/a.sock', 'url.scheme': 'http' })
  assert.deepStrictEqual(serverOf('other'), { 'server.address': 'other' })
})
