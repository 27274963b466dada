'use strict'

const api = require('@opentelemetry/api')
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http')
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http')
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics')
const { BatchSpanProcessor, TracerProvider } = require('@opentelemetry/sdk-trace')
const { Agent, HttpsAgent, fetch } = require('keepwire')
const { metricProducer, recordSpans } = require('keepwire/otel')

const reader = new PeriodicExportingMetricReader({
  exporter: new OTLPMetricExporter(),
  metricProducers: [metricProducer()],
})
const meters = new MeterProvider({ readers: [reader] })
const traces = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })] })
api.context.setGlobalContextManager(new AsyncLocalStorageContextManager())
api.trace.setGlobalTracerProvider(traces)
recordSpans(api)

async function main() {
  const { URL: url } = process.env
  const agent = new (url.startsWith('https:') ? HttpsAgent : Agent)({ keepAlive: true, maxSockets: 2 })
  const tracer = api.trace.getTracer('example')
  await tracer.startActiveSpan('five requests', async (span) => {
    await Promise.all(Array.from({ length: 5 }, async () => (await fetch(url, { agent })).text()))
    span.end()
  })
  await Promise.all([meters.forceFlush(), traces.forceFlush()])
  await Promise.all([meters.shutdown(), traces.shutdown()])
  agent.destroy()
  console.log('sent')
}

main()
