// The runtime's http module with keepwire's agents in place of its own.

import type { ClientRequest, IncomingMessage, RequestOptions as RuntimeOptions } from 'node:http'

import type { Agent } from './agent'
import type { ResponseLimit } from './request'

export * from 'node:http'
export { Agent, type AgentOptions } from './agent'

/** keepwire's agent with the settings of the runtime's own `globalAgent`: `keepAlive`, `'lifo'`, 5 seconds. */
export const globalAgent: Agent

/** The runtime's options of a request, and `maxResponseSize`. */
export type RequestOptions = RuntimeOptions & ResponseLimit

export function request(
  options: RequestOptions | string | URL,
  callback?: (res: IncomingMessage) => void,
): ClientRequest
export function request(
  url: string | URL,
  options: RequestOptions,
  callback?: (res: IncomingMessage) => void,
): ClientRequest

export function get(options: RequestOptions | string | URL, callback?: (res: IncomingMessage) => void): ClientRequest
export function get(
  url: string | URL,
  options: RequestOptions,
  callback?: (res: IncomingMessage) => void,
): ClientRequest
