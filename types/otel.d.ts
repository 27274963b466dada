import type { TotalsOptions } from './observability'

export interface MetricProducerOptions extends TotalsOptions {
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
