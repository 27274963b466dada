import type * as nodeHttps from 'node:https'
import { Agent as NodeAgent } from 'node:https'

import type { Agent, AgentOptions } from './agent'

/**
 * What an {@link HttpsAgent} can be told: all that the runtime's own `https.Agent` takes, and what keepwire's
 * {@link AgentOptions} add. Every option of `tls.connect` counts; those that the engine has no equal for make their
 * requests fall back to the runtime's sockets.
 */
export interface HttpsAgentOptions extends nodeHttps.AgentOptions, AgentOptions {
  /**
   * How many endpoints' TLS sessions are kept, to be resumed by later connections of all agents with the same settings.
   *
   * Unit: endpoints. Default: 100. Disabled by: 0 (every handshake is a full one).
   */
  maxCachedSessions?: number | undefined

  /**
   * Whether to speak HTTP/2 with servers that take it (docs/http2.md): requests that run at the same time share one
   * connection. To the agent a place in it is a connection, which `maxSockets` and the like count. Read once.
   *
   * Default: false. Disabled by: false.
   */
  http2?: boolean | undefined
}

/** What it shares with {@link Agent}; its `defaultPort` is 443, its `protocol` `'https:'`. */
type Shared = Pick<
  Agent,
  | 'keepAlive'
  | 'keepAliveMsecs'
  | 'scheduling'
  | 'defaultPort'
  | 'protocol'
  | 'totalSocketCount'
  | 'preconnect'
  | 'close'
  | 'stats'
>

declare const Base: Omit<typeof NodeAgent, never> & (new (options?: HttpsAgentOptions) => NodeAgent & Shared)

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
export class HttpsAgent extends Base {
  constructor(options?: HttpsAgentOptions)

  /** A copy of the options that this agent was made with, defaults filled in. */
  readonly options: HttpsAgentOptions
}
