// The runtime's http module with keepwire's agents in place of its own.

import type { RequestOptions as RuntimeOptions } from 'node:http'

import type { Agent } from './agent'
import type { ProxyOptions } from './agent'
import type { RequestFunction, ResponseLimit } from './request'

export * from 'node:http'
export { Agent, type AgentOptions } from './agent'

/** keepwire's agent with the settings of the runtime's own `globalAgent`: `keepAlive`, `'lifo'`, 5 seconds. */
export const globalAgent: Agent

/** The runtime's options of a request, and `maxResponseSize`. */
export type RequestOptions = RuntimeOptions & ResponseLimit & ProxyOptions

export const request: RequestFunction<RequestOptions>
export const get: RequestFunction<RequestOptions>
