'use strict'

// keepwire/prometheus: as text, in prom-client's registries, and on the dashboard in docs/grafana.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')

const { runScript } = require('../support/child')
const { LOGIN, targetThrough } = require('../support/behind-proxy')
const { send } = require('../support/client')
const { parse } = require('../support/exposition')
const { reply } = require('../support/peer')
const { scriptedProxy } = require('../support/proxy')
const { baseline } = require('../support/runtime')
const { test, testBoth } = require('../support/suite')
const { until } = require('../support/wait')

const { stats, totals } = baseline ? {} : require('../..')
const { contentType, metrics, register } = baseline ? {} : require('../../lib/prometheus')

const OURS = { ours: 'tells nothing' }
const OPEN = 'application/openmetrics-text'
const OK = (_, connection) => connection.write(reply('ok'))

/** Names are a promise, and dashboards are made of them. */
const NAMES = {
  http_client_request_duration_seconds: 'histogram',
  http_client_open_connections: 'gauge',
  http_client_connection_duration_seconds: 'histogram',
  http_client_request_time_in_queue_seconds: 'histogram',
  keepwire_connections_opened_total: 'counter',
  keepwire_connections_reused_total: 'counter',
  keepwire_connections_closed_total: 'counter',
  keepwire_connections_pending: 'gauge',
  keepwire_connections_dialing: 'gauge',
  keepwire_connections_limit: 'gauge',
  keepwire_requests_resent_total: 'counter',
  keepwire_requests_moved_total: 'counter',
  keepwire_requests_passed_over_total: 'counter',
  keepwire_requests_failed_total: 'counter',
  keepwire_requests_fallback_total: 'counter',
  keepwire_connection_setup_seconds: 'histogram',
  keepwire_time_to_first_byte_seconds: 'histogram',
  keepwire_io_bytes_total: 'counter',
  keepwire_tls_handshakes_total: 'counter',
  keepwire_proxy_open_connections: 'gauge',
  keepwire_proxy_connections_opened_total: 'counter',
  keepwire_proxy_connections_reused_total: 'counter',
  keepwire_proxy_refusals_total: 'counter',
  keepwire_proxy_errors_total: 'counter',
  keepwire_proxy_setup_seconds: 'histogram',
}

/** The samples of an origin, or of a proxy, by name and other labels. */
function samplesOf(text, origin, format) {
  const found = {}
  for (const { labels, name, value } of parse(text, format).flatMap(({ samples }) => samples)) {
    const { origin: of, proxy = of, ...rest } = labels
    if (proxy !== origin) continue
    const shown = Object.entries(rest).map(([label, told]) => `${label}=${told}`)
    found[[name, ...shown].join(' ')] = value
  }
  return found
}

/** Traffic with something of everything: a resend, a wait, a failure, a fallback, a close. */
async function traffic(scope) {
  const peer = await scope.peer((request, connection) => {
    if (request.target === '/dropped' && connection.requests.length > 1) connection.end()
    else if (request.target === '/refused') connection.end()
    else connection.write(reply('ok'))
  })
  const { port } = peer
  const origin = `${scope.scheme}://127.0.0.1:${port}`
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  await Promise.all([send({ port, agent }), send({ port, agent })])
  await send({ port, path: '/dropped', agent })
  await assert.rejects(send({ port, path: '/refused', method: 'POST', agent }))
  await send({ port, agent })
  // Another protocol is the runtime's business.
  const other = scope.agent({ maxSockets: 1 })
  await send({ port, agent: other, headers: { connection: 'upgrade', upgrade: 'none' } })
  other.destroy()
  await until(() => totals()[origin].limit === 1)
  return { agent, origin }
}

testBoth('text: what happened is there, under names and labels by the conventions', OURS, async (scope) => {
  const { agent, origin } = await traffic(scope)
  const text = metrics()
  assert.deepStrictEqual(Object.fromEntries(parse(text).map(({ name, type }) => [name, type])), NAMES)
  const told = samplesOf(text, origin)
  assert.strictEqual(told['http_client_request_duration_seconds_count method=GET status=2xx'], 4)
  assert.strictEqual(told['http_client_open_connections state=idle'], 1)
  assert.strictEqual(told['http_client_open_connections state=active'], 0)
  assert.strictEqual(told.http_client_request_time_in_queue_seconds_count, 1)
  assert.strictEqual(told.keepwire_connections_opened_total, 3)
  assert.strictEqual(told.keepwire_requests_resent_total, 1)
  assert.strictEqual(told['keepwire_requests_failed_total error=ECONNRESET'], 1)
  assert.strictEqual(told.keepwire_connections_limit, 1)
  assert.strictEqual(told.keepwire_connections_pending, 0)
  assert.strictEqual(told['keepwire_connection_setup_seconds_count phase=tcp'], 3)
  assert.ok(told['keepwire_io_bytes_total direction=receive'] > 0)
  assert.ok(Object.keys(told).some((name) => name.startsWith('keepwire_requests_fallback_total reason=')))
  const { 'keepwire_tls_handshakes_total resumed=false': full, 'keepwire_tls_handshakes_total resumed=true': resumed } =
    told
  assert.strictEqual(full + resumed, scope.scheme === 'https' ? 3 : 0)
  agent.destroy()
  // A place is free at once, what it held ends a little later.
  await until(() => samplesOf(metrics(), origin).http_client_connection_duration_seconds_count === 3)
  const after = samplesOf(metrics(), origin)
  assert.strictEqual(after['http_client_open_connections state=idle'], 0)
  assert.strictEqual(after.keepwire_connections_limit, undefined)
  for (const [name, value] of Object.entries(told)) {
    if (!/_connections (state|$)|_(pending|dialing|limit)$/.test(`${name} `.trim()))
      assert.ok(after[name] >= value, name)
  }
})

/** Two tunnels through a proxy, one of them busy; one that another proxy refuses. */
async function proxied(scope) {
  const proxy = await scriptedProxy(scope)
  const refusing = await scriptedProxy(scope, {
    onHead(_, socket) {
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      return true
    },
  })
  const through = await targetThrough(scope, proxy)
  for (let round = 0; round < 2; round += 1) await Promise.all([through.ask('/'), through.ask('/')])
  const held = through.ask('/held')
  await through.target.held()
  const refused = await targetThrough(scope, refusing)
  assert.strictEqual((await refused.ask('/')).error.statusCode, 403)
  scope.defer(async () => {
    through.target.release()
    await held
  })
  return { through, proxy, refusing }
}

test('proxies: tunnels by state, refusals by status, and the step of opening a connection', OURS, async (scope) => {
  const { proxy, refusing, through } = await proxied(scope)
  const text = metrics()
  const told = samplesOf(text, proxy.url)
  const told2 = samplesOf(text, refusing.url)
  const of = (samples) =>
    Object.fromEntries(Object.entries(samples).filter(([name]) => !name.includes('setup_seconds')))
  assert.deepStrictEqual(of(told), {
    'keepwire_proxy_open_connections state=active': 1,
    'keepwire_proxy_open_connections state=idle': 1,
    'keepwire_proxy_open_connections state=dialing': 0,
    keepwire_proxy_connections_opened_total: 2,
    keepwire_proxy_connections_reused_total: 3,
  })
  assert.strictEqual(told.keepwire_proxy_setup_seconds_count, 2)
  // Both are whole µs.
  const wholeMicros = Math.round(stats().proxies[proxy.url].proxyMs.sum * 1000)
  assert.strictEqual(Math.round(told.keepwire_proxy_setup_seconds_sum * 1e6), wholeMicros)
  assert.deepStrictEqual(of(told2), {
    'keepwire_proxy_open_connections state=active': 0,
    'keepwire_proxy_open_connections state=idle': 0,
    'keepwire_proxy_open_connections state=dialing': 0,
    keepwire_proxy_connections_opened_total: 0,
    keepwire_proxy_connections_reused_total: 0,
    'keepwire_proxy_refusals_total status=403': 1,
    'keepwire_proxy_errors_total error=ERR_PROXY_TUNNEL': 1,
  })
  assert.strictEqual(samplesOf(text, through.origin)['keepwire_connection_setup_seconds_count phase=proxy'], 2)
  for (const secret of [LOGIN.user, LOGIN.password, LOGIN.digest]) assert.ok(!text.includes(secret))
  const merged = metrics({ proxy: (name) => ([proxy.url, refusing.url].includes(name) ? 'ours' : name) })
  const ours = samplesOf(merged, 'ours')
  assert.strictEqual(ours['keepwire_proxy_open_connections state=idle'], 1)
  assert.strictEqual(ours.keepwire_proxy_setup_seconds_count, 2)
  assert.strictEqual(ours['keepwire_proxy_refusals_total status=403'], 1)
  assert.deepStrictEqual(samplesOf(merged, proxy.url), {})
})

test('proxies: the first 256 have a name, the rest is one, and nothing falls when agents go', {
  ...OURS,
  timeout: 120_000,
}, async () => {
  const { code, lines, stderr } = await runScript('many-proxies', ['270'])
  assert.strictEqual(code, 0, stderr)
  const [{ fell, names, other, sum }] = lines
  assert.deepStrictEqual({ fell, names, other, sum }, { fell: [], names: 257, other: 14, sum: 270 })
})

test('OpenMetrics: the same samples, with its own names, units and end', OURS, async (scope) => {
  const { origin } = await traffic(scope)
  const text = metrics({ accept: OPEN })
  assert.match(text, /\n# EOF\n$/)
  assert.match(text, /# UNIT keepwire_io_bytes bytes\n/)
  // Bounds are texts of one form; prom-client's are not.
  for (const [, bound] of text.matchAll(/le="([^"]*)"/g)) assert.match(bound, /^(\d+\.\d+|\+Inf)$/)
  const plain = samplesOf(metrics(), origin)
  const open = samplesOf(text, origin, 'openmetrics')
  const canonical = Object.fromEntries(
    Object.entries(open).map(([name, value]) => [name.replace(/ le=(\d+)\.0$/, ' le=$1'), value]),
  )
  assert.deepStrictEqual(canonical, plain)
  assert.ok(Object.keys(plain).some((name) => name.endsWith(' le=1')))
})

test('labels are escaped, whatever an origin is called', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  await send({ port: peer.port, agent: scope.agent({ keepAlive: true }) })
  const odd = 'a "name"\\with\n{all} that, is=odd'
  const origin = (name) => (name.endsWith(`:${peer.port}`) ? odd : name)
  for (const [accept, format] of [
    [undefined, 'text'],
    [OPEN, 'openmetrics'],
  ]) {
    const told = samplesOf(metrics({ accept, origin }), odd, format)
    assert.strictEqual(told.keepwire_connections_opened_total, 1)
  }
})

test('the format is what Accept asks for', OURS, async () => {
  const prometheus =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
  for (const accept of [
    prometheus,
    OPEN,
    `${OPEN}; version="1.0.0"`,
    `text/plain;q=0.5, ${OPEN.toUpperCase()};q=0.5`,
  ]) {
    assert.strictEqual(contentType(accept), 'application/openmetrics-text; version=1.0.0; charset=utf-8', accept)
    assert.match(metrics({ accept }), /# EOF\n$/)
  }
  for (const accept of [
    undefined,
    '',
    '*/*',
    'text/html',
    'text/plain',
    `${OPEN};q=0`,
    `${OPEN};version=2.0.0`,
    `${OPEN};q=0.1, text/plain`,
  ]) {
    assert.strictEqual(contentType(accept), 'text/plain; version=0.0.4; charset=utf-8', accept)
    assert.doesNotMatch(metrics({ accept }), /# EOF/)
  }
})

test("prom-client: in its registry beside a program's own metrics, in both formats", OURS, async (scope) => {
  const prom = require('prom-client')
  const { origin } = await traffic(scope)
  for (const [type, format] of [
    [prom.Registry.PROMETHEUS_CONTENT_TYPE, 'text'],
    [prom.Registry.OPENMETRICS_CONTENT_TYPE, 'openmetrics'],
  ]) {
    const registry = new prom.Registry()
    registry.setContentType(type)
    const own = new prom.Counter({ name: 'jobs_total', help: 'Jobs.', registers: [registry] })
    own.inc(3)
    register(registry)
    const text = await registry.metrics()
    const families = parse(text, format)
    const jobs = families.find(({ name }) => name.startsWith('jobs'))
    assert.strictEqual(jobs.samples[0].value, 3)
    assert.deepStrictEqual(samplesOf(text, origin, format), samplesOf(metrics(), origin))
    // Again: a registry changes what it is given.
    assert.deepStrictEqual(samplesOf(await registry.metrics(), origin, format), samplesOf(metrics(), origin))
  }
})

test('prom-client: names that are taken are an error, and nothing is added', OURS, async () => {
  const prom = require('prom-client')
  const registry = new prom.Registry()
  const name = 'http_client_open_connections'
  new prom.Gauge({ name, help: 'Mine.', registers: [registry] })
  assert.throws(() => register(registry), /already been registered/)
  assert.deepStrictEqual(
    registry.getMetricsAsArray().map((metric) => metric.name),
    [name],
  )
  assert.throws(() => register({}), { code: 'ERR_INVALID_ARG_TYPE' })
})

test('prom-client: aggregated over processes, counters and buckets are sums', OURS, async (scope) => {
  const prom = require('prom-client')
  const peer = await scope.peer(OK)
  const origin = `http://127.0.0.1:${peer.port}`
  const told = await Promise.all([1, 2].map((requests) => runScript('prom-client', [peer.port, requests])))
  for (const { code, stderr } of told) assert.strictEqual(code, 0, stderr)
  // What comes from workers is JSON.
  const all = told.map(({ lines }) => lines[0].metrics)
  const text = await prom.AggregatorRegistry.aggregate(all).metrics()
  const samples = samplesOf(text, origin)
  assert.strictEqual(samples.keepwire_connections_opened_total, 2)
  assert.strictEqual(samples.keepwire_connections_reused_total, 1)
  assert.strictEqual(samples['http_client_request_duration_seconds_count method=GET status=2xx'], 3)
  assert.strictEqual(samples['http_client_request_duration_seconds_bucket method=GET status=2xx le=+Inf'], 3)
  assert.strictEqual(samples.keepwire_connections_limit, undefined)
})

test("Grafana's dashboard asks for what there is, by labels that there are, and for all of it", OURS, async (scope) => {
  await traffic(scope)
  await proxied(scope)
  const file = path.join(__dirname, '../../docs/grafana/keepwire.json')
  const dashboard = JSON.parse(fs.readFileSync(file, 'utf8'))
  assert.deepStrictEqual(
    dashboard.__inputs.map(({ name, pluginId }) => [name, pluginId]),
    [['DS_PROMETHEUS', 'prometheus']],
  )
  const labels = new Map()
  for (const { name, samples, type } of parse(metrics())) {
    const known = new Set(
      samples
        .flatMap((sample) => Object.keys(sample.labels))
        .concat(name.startsWith('keepwire_proxy_') ? 'proxy' : 'origin'),
    )
    for (const ending of type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) labels.set(name + ending, known)
  }
  const used = new Set()
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  const choices = dashboard.templating.list.map(({ definition, name, query }) => {
    assert.strictEqual(query.query, definition)
    return { label: name, definition }
  })
  assert.deepStrictEqual(
    choices.map(({ label }) => label),
    ['origin', 'proxy'],
  )
  for (const { definition, label } of choices) {
    const [, name, asked] = /^label_values\((\w+), (\w+)\)$/.exec(definition)
    assert.deepStrictEqual([asked, labels.get(name).has(label)], [label, true])
  }
  for (const query of queries) {
    for (const [, matched] of query.matchAll(/\{(\w+)=~"\$(\w+)"\}/g)) {
      assert.ok(labels.get(/\b(?:http_client|keepwire)_\w+/.exec(query)[0]).has(matched), query)
    }
    for (const [name] of query.matchAll(/\b(?:http_client|keepwire)_\w+/g)) {
      assert.ok(labels.has(name), `${name} in ${query}`)
      used.add(name.replace(/_(bucket|sum|count)$/, ''))
    }
    const [, grouping = ''] = /\bby \(([^)]*)\)/.exec(query) ?? []
    const name = /\b(?:http_client|keepwire)_\w+/.exec(query)[0]
    for (const label of grouping.split(', ').filter(Boolean))
      assert.ok(labels.get(name).has(label), `${label}: ${query}`)
  }
  assert.deepStrictEqual([...used].sort(), Object.keys(NAMES).sort())
  const uids = dashboard.panels.flatMap(({ datasource, targets }) => [
    datasource,
    ...targets.map((target) => target.datasource),
  ])
  for (const { uid } of uids) assert.strictEqual(uid, `\${${dashboard.__inputs[0].name}}`)
  const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
  const places = dashboard.panels.map(({ gridPos }) => gridPos)
  for (const [at, place] of places.entries()) {
    assert.ok(place.x + place.w <= 24)
    assert.ok(!places.slice(at + 1).some((other) => overlap(place, other)))
  }
})
