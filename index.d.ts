// The public types. Options, properties and methods that are not documented here are those of the runtime's own
// http.Agent and https.Agent, with their meanings and defaults.

export {
  Agent,
  type AgentOptions,
  type BreakerOptions,
  type DnsOptions,
  type HostPolicy,
  type ProxyFunction,
  type ProxyOptions,
  publicAddressesOnly,
} from './types/agent'
export {
  fetch,
  type FetchAgent,
  type FetchDefaults,
  type FetchInit,
  type FetchRetry,
  type HttpError,
} from './types/fetch'
export * as http from './types/http'
export { install, type InstallOptions, uninstall } from './types/install'
export * as https from './types/https'
export { HttpsAgent, type HttpsAgentOptions } from './types/https-agent'
export {
  type ConnectionState,
  connections,
  type DnsStats,
  type Explanation,
  explain,
  type Histogram,
  type OriginStats,
  type ProxyStats,
  type Stats,
  stats,
  type Totals,
  type TotalsOptions,
  totals,
} from './types/observability'
