'use strict'

// `tracers.js <tracer> <first|last> <way>`: four requests, and what the tracer and the server heard of them.

const http = require('node:http')
const https = require('node:https')

const { outcome, requireProgram, serve, WAYS } = require('./program')

const [tracer, order, way] = process.argv.slice(2)

// Those of Node 18 keep no connection unless they are told to.
for (const { globalAgent } of [http, https]) globalAgent.keepAlive = true

/** What each tracer has counted, by kind of span. */
const spans = {}
const count = (kind) => (spans[kind] = (spans[kind] ?? 0) + 1)

/** Starts a tracer; what it answers runs a function where requests are traced. */
const TRACERS = {
  opentelemetry() {
    const { registerInstrumentations } = requireProgram('@opentelemetry/instrumentation')
    const { HttpInstrumentation } = requireProgram('@opentelemetry/instrumentation-http')
    const { UndiciInstrumentation } = requireProgram('@opentelemetry/instrumentation-undici')
    const { DnsInstrumentation } = requireProgram('@opentelemetry/instrumentation-dns')
    const { NodeTracerProvider } = requireProgram('@opentelemetry/sdk-trace-node')
    const onEnd = ({ instrumentationScope, kind }) => {
      const scope = instrumentationScope.name.replace('@opentelemetry/instrumentation-', '')
      // Those of kind 1 are the server's, which is in this process as well.
      if (kind !== 1) count(scope)
    }
    const nothing = async () => {}
    const processor = { onStart() {}, onEnd, forceFlush: nothing, shutdown: nothing }
    new NodeTracerProvider({ spanProcessors: [processor] }).register()
    registerInstrumentations({
      instrumentations: [new HttpInstrumentation(), new UndiciInstrumentation(), new DnsInstrumentation()],
    })
    // They patch what is loaded from then on, as at `node --require tracing.js`.
    for (const name of ['http', 'https', 'dns']) require(name)
    return (run) => run()
  },
  'dd-trace'() {
    process.env.DD_TRACE_AGENT_URL = `http://127.0.0.1:${global.sinkPort}`
    for (const name of ['INSTRUMENTATION_TELEMETRY', 'REMOTE_CONFIGURATION', 'TRACE_STARTUP_LOGS', 'CRASHTRACKING']) {
      process.env[`DD_${name}_ENABLED`] = 'false'
    }
    process.env.DD_TRACE_STARTUP_LOGS = 'false'
    const dd = requireProgram('dd-trace').init({ flushInterval: 100_000 })
    for (const name of ['http', 'https', 'dns', 'net']) require(name)
    // Told of each span that it ends.
    dd.use('undici', { hooks: { request: () => count('undici') } })
    dd.use('fetch', { hooks: { request: () => count('fetch') } })
    const { channel } = require('node:diagnostics_channel')
    channel('apm:http:client:request:start').subscribe(() => count('http'))
    channel('apm:dns:lookup:start').subscribe(() => count('dns'))
    return (run) => dd.trace('test', run)
  },
  newrelic() {
    Object.assign(process.env, {
      NEW_RELIC_NO_CONFIG_FILE: 'true',
      NEW_RELIC_LOG_ENABLED: 'false',
      NEW_RELIC_APP_NAME: 'test',
      NEW_RELIC_LICENSE_KEY: 'a'.repeat(40),
      NEW_RELIC_SERVERLESS_MODE_ENABLED: 'true',
      NEW_RELIC_ACCOUNT_ID: '1',
      NEW_RELIC_TRUSTED_ACCOUNT_KEY: '1',
      NEW_RELIC_PRIMARY_APPLICATION_ID: '1',
    })
    const newrelic = requireProgram('newrelic')
    for (const name of ['http', 'https', 'dns', 'net']) require(name)
    return (run) => newrelic.startBackgroundTransaction('test', run)
  },
  /** By hand: of both, of `request` alone, of `get` alone. */
  both: () => wrap('request', 'get'),
  request: () => wrap('request'),
  get: () => wrap('get'),
}

function wrap(...names) {
  for (const module of [http, https]) {
    for (const name of names) {
      const before = module[name]
      module[name] = function wrapper(url, options, callback) {
        count(name)
        if (typeof options === 'function') [options, callback] = [{}, options]
        return before.call(
          this,
          url,
          { ...options, headers: { ...options?.headers, traceparent: 'by-hand' } },
          callback,
        )
      }
    }
  }
  return (run) => run()
}

async function main() {
  const sink = await serve()
  global.sinkPort = sink.port
  let inside
  if (order === 'first') inside = TRACERS[tracer]()
  const keepwire = require('../../..')
  if (way.startsWith('install')) {
    keepwire.install({ request: way === 'install with request', fetch: way === 'install with fetch' })
  }
  inside ??= TRACERS[tracer]()
  const ask = WAYS[way]
  const { port, headers, requests } = await serve()
  const answers = []
  await inside(async () => {
    for (const call of ['get', 'request', 'get', 'request']) {
      answers.push(await outcome(ask(keepwire, `http://localhost:${port}/${answers.length}`, call)))
    }
  })
  await new Promise((resolve) => setImmediate(resolve))
  const traced = headers.map((fields) => fields.traceparent !== undefined)
  const { connections, fallbacks } = totals(keepwire.stats())
  console.log(JSON.stringify({ answers, requests, spans, traced, connections, fallbacks }))
  process.exit()
}

/** What keepwire carried and what not. */
function totals(stats) {
  let connections = 0
  const fallbacks = {}
  for (const origin of Object.values(stats.origins ?? stats)) {
    connections += origin.created ?? 0
    for (const [reason, times] of Object.entries(origin.foreign ?? {})) {
      fallbacks[reason] = (fallbacks[reason] ?? 0) + times
    }
  }
  return { connections, fallbacks }
}

main()
