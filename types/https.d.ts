// The runtime's https module with keepwire's agents in place of its own.

import type { ClientRequest, IncomingMessage } from 'node:http'
import type { RequestOptions as RuntimeOptions } from 'node:https'

import type { HttpsAgent } from './https-agent'
import type { ResponseLimit } from './request'

export * from 'node:https'
export { HttpsAgent as Agent, type HttpsAgentOptions as AgentOptions } from './https-agent'

/** keepwire's agent with the settings of the runtime's own `globalAgent`: `keepAlive`, `'lifo'`, 5 seconds. */
export const globalAgent: HttpsAgent

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
