// The public types. Options, properties and methods that are not documented here are those of the runtime's own
// http.Agent, with its meanings and defaults.

export { Agent, type AgentOptions } from './types/agent'
export { fetch, type FetchDefaults, type FetchInit, type FetchRetry, type HttpError } from './types/fetch'
export * as http from './types/http'
