import type { NamingOptions } from './observability'

export interface MetricProducerOptions extends NamingOptions {
  /** Metrics that somebody else records, such as `http.client.request.duration` where an instrumentation does. */
  exclude?: string[]
}

/** Has the form of `MetricProducer` of `@opentelemetry/sdk-metrics`. */
export interface KeepwireMetricProducer {
  // biome-ignore lint/suspicious/noExplicitAny: it is the SDK's own CollectionResult, whose package need not be there
  collect(): Promise<any>
}

/**
 * The process's counters for the option `metricProducers` of a metric reader. Throws `ERR_INVALID_ARG_TYPE` if `exclude` names what
 * keepwire does not have.
 */
export function metricProducer(options?: MetricProducerOptions): KeepwireMetricProducer

export interface RecordSpansOptions {
  /** Whether requests that are made while no span is active have spans, too. Default `false`. */
  orphans?: boolean
}

/**
 * Records, from now on, what becomes of requests before they are sent: `keepwire.request.wait`, and `keepwire.connection.setup` with its
 * steps `.dns`, `.connect`, `.proxy` and `.tls`, as children of the span that is active where a request is made. Userinfo and
 * signatures in URLs are redacted. `api` is `require('@opentelemetry/api')`; anything else throws `ERR_INVALID_ARG_TYPE`. Returns what
 * ends it.
 */
// biome-ignore lint/suspicious/noExplicitAny: @opentelemetry/api need not be there
export function recordSpans(api: any, options?: RecordSpansOptions): () => void
