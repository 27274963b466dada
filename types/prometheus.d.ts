import type { NamingOptions } from './observability'

export interface MetricsOptions extends NamingOptions {
  /** A request's `Accept` header: OpenMetrics 1.0 if it asks for it, else Prometheus' text format 0.0.4. */
  accept?: string
}

/** What the process did since it started, in all threads, as Prometheus reads it. */
export function metrics(options?: MetricsOptions): string

/** The `Content-Type` of what `metrics({ accept })` returns. */
export function contentType(accept?: string): string

/** What is used of prom-client's `Registry`. */
export interface MetricRegistry {
  registerMetric(metric: unknown): void
  removeSingleMetric(name: string): void
}

/**
 * Adds the metrics to a registry of prom-client. Throws what it throws, such as for a name that is there already; then none
 * are added.
 */
export function register(registry: MetricRegistry, options?: NamingOptions): void
