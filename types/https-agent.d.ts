import type * as nodeHttps from 'node:https'
import { Agent as NodeAgent } from 'node:https'

import type { Agent, AgentOptions } from './agent'
import type { Stats } from './observability'

/**
 * What an {@link HttpsAgent} can be told: all that the runtime's own `https.Agent` takes, and what keepwire's
 * {@link AgentOptions} add. Every option of `tls.connect` counts; those that the engine has no equal for make their
 * requests go the runtime's own way.
 */
export interface HttpsAgentOptions extends nodeHttps.AgentOptions, AgentOptions {
  /**
   * How many endpoints' TLS sessions are kept, to be resumed by later connections of all agents with the same settings.
   *
   * Unit: endpoints. Default: 100. Disabled by: 0 (every handshake is a full one).
   */
  maxCachedSessions?: number | undefined
}

/**
 * An `https.Agent` whose keep-alive connections are reused every time they can be, and whose TLS runs off the JavaScript
 * thread. It trusts whom the runtime trusts, and fails with the runtime's errors:
 *
 * ```js
 * const { HttpsAgent } = require('keepwire')
 * const agent = new HttpsAgent({ keepAlive: true, maxSockets: 50 })
 * require('node:https').get('https://example.com/', { agent }, (response) => response.resume())
 * ```
 *
 * @throws `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` or `ERR_OUT_OF_RANGE` for options that make no sense.
 */
export class HttpsAgent extends NodeAgent {
  constructor(options?: HttpsAgentOptions)

  /** A copy of the options that this agent was made with, defaults filled in. */
  options: HttpsAgentOptions

  /** Whether idle connections are kept for later requests. */
  keepAlive: boolean

  /** Delay before the first TCP keep-alive probe of an idle connection, in milliseconds. Default: 1000. */
  keepAliveMsecs: number

  /** Which idle connection serves next: the one used last (`'lifo'`, the default) or first (`'fifo'`). */
  scheduling: 'fifo' | 'lifo'

  /** The port of requests that name none. Default: 443. */
  defaultPort: number

  /** The protocol of the requests that this agent serves. Default: `'https:'`. */
  protocol: string

  /** Connections of this agent that exist or are being opened, busy or idle, to all origins together. */
  readonly totalSocketCount: number

  /** As {@link Agent.preconnect}: connections whose hands are shaken. */
  preconnect(origin: string | URL, count?: number): Promise<number>

  /** As {@link Agent.close}. */
  close(options?: { deadline?: number | undefined }): Promise<void>

  /** As {@link Agent.stats}. */
  stats(): Stats
}
